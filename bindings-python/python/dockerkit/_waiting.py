"""Calls that a task waits for. Cancelling the task ends the call in the core."""

from __future__ import annotations

import sys
from asyncio import get_running_loop, sleep

from ._blocking import decode_batch
from ._runtime import Object, begin, decode_outcome, make_event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


async def outcome_of(pending: Any, on_event: Any) -> Any:
    """Waits for a call without blocking the loop, and gives its events to `on_event` in the loop's thread."""
    if pending.begins():
        # An answer that is there already lets the others have their turn all the same.
        await sleep(0)
        return pending.poll()[2]
    loop = get_running_loop()
    future = loop.create_future()

    def ready() -> None:
        events, done, outcome = pending.poll()
        try:
            if on_event is not None:
                for pair in events:
                    on_event(make_event(pair))
        except BaseException as error:
            if not future.done():
                future.set_exception(error)
            return
        if done and not future.done():
            future.set_result(outcome)

    try:
        pending.notify(loop.call_soon_threadsafe, ready)
        return await future
    finally:
        pending.cancel()


async def call(classes: str, cls: str, method: str, target: Any, arguments: dict[str, Any], options: dict[str, Any], spec: Any) -> Any:
    """Makes a call and waits for its result."""
    pending, on_event = begin(cls, method, target, arguments, options)
    return decode_outcome(await outcome_of(pending, on_event), spec, sys.modules[classes])


class Closing(Object):
    """An object that `async with` closes."""

    __slots__ = ()

    async def close(self) -> None:
        """Lets go of the object. An engine's connections are closed; objects that came from it make new ones."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Stream:
    """An asynchronous iterator over results as they come. Closing it ends the work behind it."""

    __slots__ = ("_native", "_spec", "_batch", "_classes", "_start", "_over")

    def __init__(self, native: Any, spec: Any, classes: ModuleType, start: Any = None) -> None:
        self._native = native
        self._spec = spec
        self._classes = classes
        self._start = start
        self._over = False
        self._batch: list[Any] = []

    def __class_getitem__(cls, _: object) -> type[Stream]:
        return cls

    @classmethod
    def starting(cls, classes: str, *call_of: Any) -> Stream:
        """A stream whose call is made when the first item is asked for."""
        return cls(None, None, sys.modules[classes], call_of)

    async def _begin(self) -> None:
        if self._start is not None:
            made = await call(self._classes.__name__, *self._start)
            self._start = None
            if self._over:
                made._native.close()
                return
            self._native, self._spec = made._native, made._spec

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        while not self._batch:
            if self._start is not None:
                await self._begin()
            pending = None if self._native is None else self._native.next()
            outcome = None if pending is None else await outcome_of(pending, None)
            if outcome is None:
                await self.close()
                raise StopAsyncIteration
            self._batch = decode_batch(outcome, self._spec, self._classes)
        return self._batch.pop()

    async def close(self) -> None:
        """Ends the stream."""
        self._over = True
        self._start = None
        if self._native is not None:
            self._native.close()
            self._native = None
        self._batch = []

    aclose = close

    async def __aenter__(self) -> Stream:
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
