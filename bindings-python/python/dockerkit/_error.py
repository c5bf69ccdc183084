"""The base of all errors."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._models import Diagnostic, Failure


class DockerkitError(Exception):
    """What went wrong (`kind`), in which call (`operation`), where (`context`), and what to do (`hint`)."""

    kind: str = "internal"
    """The stable name of the kind, such as `not_found`."""

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.operation: str = data.get("operation", "")
        """The call that failed, such as `app.up`."""
        self.context: dict[str, str] = data.get("context", {})
        """Host, resource, path, status and the like."""
        self.retryable: bool = data.get("retryable", False)
        """Whether the same call may succeed later."""
        self.hint: str | None = data.get("hint")
        """What to do about it."""
        self._data = data

    @property
    def diagnostics(self) -> list[Diagnostic]:
        """The places in Compose files, for `invalid_compose`."""
        return self._models("Diagnostic", "diagnostics")

    @property
    def failures(self) -> list[Failure]:
        """The parts that failed, for `partial`."""
        return self._models("Failure", "failures")

    def _models(self, model: str, field: str) -> list[Any]:
        from . import _models

        cls: Any = getattr(_models, model)
        return [cls._decoded(one, None) for one in self._data.get(field, ())]

    def __reduce__(self) -> Any:
        return _restored, (type(self), str(self), self._data)


def _restored(cls: type[DockerkitError], message: str, data: dict[str, Any]) -> DockerkitError:
    return cls(message, **data)


def from_data(data: dict[str, Any]) -> DockerkitError:
    """The error of the right class from the core's data."""
    kind, message = data.pop("kind"), data.pop("message")
    for cls in DockerkitError.__subclasses__():
        if cls.kind == kind:
            return cls(message, **data)
    error = DockerkitError(message, **data)
    error.kind = kind
    return error
