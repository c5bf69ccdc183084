"""The same API for asyncio: every call is awaited, and streams are asynchronous iterators.

from dockerkit import aio

engine = await aio.Engine.connect()
async for line in container.logs(follow=True): ...
"""

from . import _aio, errors
from ._aio import *
from .errors import DockerkitError

__all__ = ["DockerkitError", "errors", "progress", *_aio.__all__]


def __getattr__(name: str) -> object:
    import dockerkit

    return getattr(dockerkit, name)
