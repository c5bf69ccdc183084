from collections.abc import Callable
from typing import Any, final

__version__: str

@final
class Handle:
    @property
    def class_name(self) -> str: ...

@final
class Pending:
    def wait(self, on_event: Callable[[str, str], object] | None) -> Any: ...
    def notify(self, call_soon: Callable[..., object], ready: Callable[[], None]) -> bool: ...
    def poll(self) -> tuple[list[tuple[str, str]], bool, Any]: ...
    def cancel(self) -> None: ...

@final
class Stream:
    def next(self) -> Pending: ...
    def close(self) -> None: ...

def construct(cls: str, args: str, data: list[bytes], handles: list[Handle]) -> Any: ...
def start(
    cls: str,
    method: str,
    target: Handle | None,
    args: str,
    data: list[bytes],
    handles: list[Handle],
    want_events: bool,
    deadline: float | None,
) -> Pending: ...
def after_fork() -> None: ...
