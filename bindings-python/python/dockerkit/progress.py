"""Ready-made listeners for `on_event`."""

from __future__ import annotations

import os
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from ._models import Event

__all__ = ["terminal"]

_SIGNS = {"done": "✔", "failed": "✘", "skipped": "·", "started": "…", "progress": "…"}
_COLOURS = {"done": "32", "failed": "31", "skipped": "90", "started": "36", "progress": "36"}
_FRAME = 0.05


def terminal(stream: TextIO | None = None) -> Callable[[Event], None]:
    """A listener that draws one line for each resource on a terminal, and plain lines elsewhere.

    Arguments:
        stream: Where to write; default: standard error.
    """
    out = sys.stderr if stream is None else stream
    if out.isatty() and os.environ.get("TERM") != "dumb":
        return _Screen(out)
    return _Lines(out)


class _Lines:
    """One line for each event that is not a step on the way."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: Event) -> None:
        if event.status != "progress":
            self._out.write(f"{event}\n")
            self._out.flush()


class _Screen:
    """Lines that change in place; those that are done scroll away above the ones that go on."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._active: dict[tuple[str, str, str], tuple[Event, float]] = {}
        self._drawn = 0
        self._next = 0.0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            now = time.monotonic()
            key = (event.host, event.resource.kind, event.resource.name)
            begun = self._active.get(key, (event, now))[1]
            finished = event.status in ("done", "failed", "skipped")
            if finished:
                self._active.pop(key, None)
            else:
                self._active[key] = (event, begun)
            if not finished and now < self._next:
                return
            self._next = now + _FRAME
            above = self._line(event, now - begun) if finished else None
            self._draw(above, now)

    def _draw(self, above: str | None, now: float) -> None:
        size = _size(self._out)
        text = f"\x1b[{self._drawn}A\r\x1b[J" if self._drawn else ""
        if above is not None:
            text += above + "\n"
        shown = list(self._active.values())[-max(size.lines - 2, 1) :]
        text += "".join(self._line(event, now - begun) + "\n" for event, begun in shown)
        self._drawn = len(shown)
        self._out.write(text)
        self._out.flush()

    def _line(self, event: Event, took: float) -> str:
        columns = _size(self._out).columns
        host = f"[{event.host}] " if event.host else ""
        what = event.error or event.message or ""
        if event.status == "progress" and event.total:
            share = min((event.current or 0) / event.total, 1.0)
            what = f"{'█' * round(20 * share):░<20} {share:4.0%} {what}"
        tail = f" {took:.1f}s" if took >= 0.1 else ""
        text = _clean(f"{host}{event.resource.kind} {event.resource.name} {event.action} {what}").rstrip()
        room = max(columns - len(tail) - 3, 10)
        text = text if len(text) <= room else text[: room - 1] + "…"
        return f"\x1b[{_COLOURS[event.status]}m{_SIGNS[event.status]}\x1b[0m {text}{tail}"


def _size(out: TextIO) -> os.terminal_size:
    try:
        return os.get_terminal_size(out.fileno())
    except OSError:
        return os.terminal_size((80, 24))


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
