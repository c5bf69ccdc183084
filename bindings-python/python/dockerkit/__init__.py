"""Machines, Docker Engine, swarm and Compose apps from one embeddable SDK.

    import dockerkit as dk

    engine = dk.Engine.connect()
    print(engine.version().version)

The same names are in `dockerkit.aio`, where every call is awaited.
"""

from . import _sync, errors
from ._native import __version__
from ._sync import *
from .errors import DockerkitError

__all__ = ["DockerkitError", "__version__", "aio", "errors", "progress", *_sync.__all__]


def __getattr__(name: str) -> object:
    # Models, `aio` and `progress` are loaded when they are first asked for: importing this package stays cheap.
    import importlib

    if name in ("aio", "progress"):
        return importlib.import_module(f".{name}", __name__)
    models = importlib.import_module("._models", __name__)
    if name in models.__all__:
        found = globals()[name] = getattr(models, name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from . import _models

    return sorted({*__all__, *_models.__all__})
