"""Calls that a thread waits for. The interpreter's lock is not held while it waits, and Ctrl-C ends the call at once."""

from __future__ import annotations

import sys

from ._runtime import Answer, Object, begin, decode_outcome, load_json, make_event
from .errors import from_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def call(classes: str, cls: str, method: str, target: Any, arguments: dict[str, Any], options: dict[str, Any], spec: Any) -> Any:
    """Makes a call and waits for its result."""
    pending, on_event = begin(cls, method, target, arguments, options)
    listener = None if on_event is None else lambda json, text: on_event(make_event((json, text)))
    return decode_outcome(pending.wait(listener), spec, sys.modules[classes])


class Closing(Object):
    """An object that `with` closes."""

    __slots__ = ()

    def close(self) -> None:
        """Lets go of the object. An engine's connections are closed; objects that came from it make new ones."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Stream:
    """An iterator over results as they come. Closing it ends the work behind it."""

    __slots__ = ("_native", "_spec", "_batch", "_classes")

    def __init__(self, native: Any, spec: Any, classes: ModuleType) -> None:
        self._native = native
        self._spec = spec
        self._classes = classes
        self._batch: list[Any] = []

    def __class_getitem__(cls, _: object) -> type[Stream]:
        return cls

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        while not self._batch:
            outcome = None if self._native is None else self._native.next().wait(None)
            if outcome is None:
                self.close()
                raise StopIteration
            self._batch = decode_batch(outcome, self._spec, self._classes)
        return self._batch.pop()

    def close(self) -> None:
        """Ends the stream."""
        if self._native is not None:
            self._native.close()
            self._native = None
        self._batch = []

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def decode_batch(outcome: Any, spec: Any, classes: ModuleType) -> list[Any]:
    """The items of a batch, last first."""
    if not outcome[0]:
        raise from_data(load_json().loads(outcome[1])) from None
    _, json, data, handles, streams = outcome
    answer = Answer(data, handles, streams, classes)
    items = [answer.decode(spec, item) for item in load_json().loads(json)]
    items.reverse()
    return items
