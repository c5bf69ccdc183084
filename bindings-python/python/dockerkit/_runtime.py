"""What the generated classes stand on: arguments go to the core as JSON with attachments, results come back so."""

from __future__ import annotations

import os

from . import _native
from .errors import InvalidInput, from_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

os.register_at_fork(after_in_child=_native.after_fork)

_json: Any = None
_models: Any = None
_moment: Any = None


def load_json() -> Any:
    """The json module, loaded when it is first needed."""
    global _json
    if _json is None:
        import json

        _json = json
    return _json


def load_models() -> Any:
    """The module of the models, loaded when it is first needed."""
    global _models
    if _models is None:
        from . import _models as module

        _models = module
    return _models


def load_moments() -> Any:
    """What makes a datetime of a text, loaded when it is first needed."""
    global _moment
    if _moment is None:
        from datetime import datetime

        _moment = datetime.fromisoformat
    return _moment


# ---------------------------------------------------------------- arguments


class Packer:
    """Writes arguments as JSON and collects what JSON cannot carry."""

    __slots__ = ("data", "handles")

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.handles: list[Any] = []

    def pack(self, arguments: dict[str, Any]) -> str:
        """The JSON of `arguments`."""
        text: str = load_json().dumps(arguments, default=self.other, ensure_ascii=False)
        return text

    def other(self, value: Any) -> Any:
        """What a value that JSON does not know is written as."""
        if isinstance(value, Model):
            return value._packed()
        if isinstance(value, Object):
            self.handles.append(value._native())
            return {"$handle": len(self.handles) - 1}
        if isinstance(value, (bytes, bytearray, memoryview)):
            self.data.append(bytes(value))
            return {"$bytes": len(self.data) - 1}
        if hasattr(value, "__fspath__"):
            return os.fsdecode(value)
        if hasattr(value, "total_seconds"):
            return value.total_seconds()
        if hasattr(value, "isoformat"):
            return value.isoformat() if getattr(value, "tzinfo", None) or not hasattr(value, "astimezone") else value.astimezone().isoformat()
        if hasattr(value, "keys"):
            return {key: value[key] for key in value.keys()}  # noqa: SIM118
        if isinstance(value, (set, frozenset)):
            return sorted(value, key=str)
        if hasattr(value, "__iter__"):
            return list(value)
        raise InvalidInput(f"a value of type {type(value).__name__} cannot be an argument")


def seconds(value: Any) -> float | None:
    """A deadline in seconds: a number or a timedelta."""
    if value is None:
        return None
    if hasattr(value, "total_seconds"):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        raise InvalidInput("`deadline` is a number of seconds or a timedelta, not negative")
    return float(value)


# ---------------------------------------------------------------- results


class Answer:
    """The attachments of one result, and the module (sync or async) whose classes it becomes."""

    __slots__ = ("data", "handles", "streams", "classes")

    def __init__(self, data: list[bytes], handles: list[Any], streams: list[Any], classes: ModuleType) -> None:
        self.data = data
        self.handles = handles
        self.streams = streams
        self.classes = classes

    def decode(self, spec: Any, value: Any) -> Any:
        """Makes `value` what `spec` says. A spec is None (as it is), a model's name, or `(how, what)`."""
        if value is None or spec is None:
            return value
        if type(spec) is str:
            return getattr(_models or load_models(), spec)._decoded(value, self)
        how, what = spec
        if how == "list":
            return [self.decode(what, item) for item in value]
        if how == "map":
            return {key: self.decode(what, item) for key, item in value.items()}
        if how == "handle":
            cls = getattr(self.classes, what)
            return cls._made(self.handles[value["$handle"]], value["properties"], self) if "$handle" in value else value
        if how == "time":
            return (_moment or load_moments())(f"{value[:26]}+00:00")
        if how == "bytes":
            return self.data[value["$bytes"]] if isinstance(value, dict) else value.encode()
        return self.classes.Stream(self.streams[value["$stream"]], what, self.classes)


def decode_outcome(outcome: Any, spec: Any, classes: ModuleType) -> Any:
    """The result of a call, or its error."""
    if not outcome[0]:
        raise from_data(load_json().loads(outcome[1])) from None
    _, json, data, handles, streams = outcome
    if spec is None and json == "null":
        return None
    return Answer(data, handles, streams, classes).decode(spec, load_json().loads(json))


def make_event(pair: tuple[str, str]) -> Any:
    """An event from its JSON and its line of text."""
    event = load_models().Event._decoded(load_json().loads(pair[0]), None)
    object.__setattr__(event, "_text", pair[1])
    return event


def many(values: tuple[Any, ...]) -> list[Any]:
    """What was given one by one, or as one list."""
    if len(values) == 1 and not isinstance(values[0], (str, bytes)) and hasattr(values[0], "__iter__"):
        return list(values[0])
    return [value for value in values if value is not None]


def options_of(options: dict[str, Any]) -> tuple[Any, float | None]:
    """Takes out what every call has: where events go, and the deadline."""
    on_event = options.pop("on_event", None)
    if on_event is not None and not callable(on_event):
        raise InvalidInput("`on_event` is called with every event: give a function")
    return on_event, seconds(options.pop("deadline", None))


# ---------------------------------------------------------------- models


class Model:
    """Data with named fields, which are never changed. What a field holds is in its class's documentation."""

    __slots__ = ("_text",)
    _required: tuple[str, ...] = ()
    _fields: tuple[str, ...] = ()
    # Not shown when the model is printed.
    _hidden: tuple[str, ...] = ()
    _types: dict[str, Any] = {}
    _tag: tuple[str, str] | None = None

    def __init__(self, *args: Any, **fields: Any) -> None:
        names, kind = self._fields, type(self).__name__
        if len(args) > len(self._required):
            raise InvalidInput(f"{kind} takes at most {len(self._required)} positional arguments; give the others by name")
        for name, value in zip(self._required, args, strict=False):
            if name in fields:
                raise InvalidInput(f"`{name}` of {kind} is given twice")
            fields[name] = value
        for name, value in fields.items():
            if name not in names:
                raise unknown(kind, name, names)
            if value is not None:
                object.__setattr__(self, name, value)
        for name in self._required:
            if fields.get(name) is None:
                raise InvalidInput(f"`{name}` of {kind} is missing")

    @classmethod
    def _decoded(cls, value: dict[str, Any], answer: Any) -> Any:
        self = cls.__new__(cls)
        put, types = object.__setattr__, cls._types
        for name in cls._fields:
            if name in value:
                spec = types.get(name)
                item = value[name]
                if spec is not None:
                    item = (answer or _PLAIN).decode(spec, item)
                put(self, name, item)
        return self

    def _packed(self) -> dict[str, Any]:
        out = {name: getattr(self, name) for name in self._fields if name in self}
        if self._tag is not None:
            out[self._tag[0]] = self._tag[1]
        return out

    def __contains__(self, name: object) -> bool:
        try:
            object.__getattribute__(self, str(name))
        except AttributeError:
            return False
        return True

    def __getattr__(self, name: str) -> Any:
        if name in type(self)._fields:
            return None
        if self._tag is not None and name == self._tag[0]:
            return self._tag[1]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is data that does not change; make a new one")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dict, models within as dicts too."""
        return {name: plain(value) for name, value in self._packed().items()}

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._packed() == other._packed()

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return _restored, (type(self), {name: getattr(self, name) for name in self._fields if name in self}, getattr(self, "_text", None))

    def __repr__(self) -> str:
        items = ((name, value) for name, value in self._packed().items() if name != "raw" and name not in self._hidden)
        shown = (f"{name}={short(value)}" for name, value in items if value not in (None, "", [], {}))
        return f"{type(self).__name__}({', '.join(shown)})"

    def __str__(self) -> str:
        try:
            text = object.__getattribute__(self, "_text")
        except AttributeError:
            text = getattr(self, "text", None) if "text" in self._fields else None
        return text if isinstance(text, str) else repr(self)


class Union:
    """One of a few models, told apart by a field."""

    _tag_name = "type"
    _variants: dict[str, str] = {}

    @classmethod
    def _decoded(cls, value: dict[str, Any], answer: Any) -> Any:
        name = cls._variants.get(value[cls._tag_name])
        return value if name is None else getattr(load_models(), name)._decoded(value, answer)


def _restored(cls: type[Model], fields: dict[str, Any], text: str | None) -> Any:
    self = cls.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(self, name, value)
    if text is not None:
        object.__setattr__(self, "_text", text)
    return self


def plain(value: Any) -> Any:
    """`value` with models and objects as dicts."""
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, Object):
        return {name: plain(item) for name, item in value._properties.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def short(value: Any) -> str:
    """A repr that fits on a line."""
    text = value.isoformat() if hasattr(value, "isoformat") else repr(value)
    return text if len(text) <= 160 else f"{text[:150]}…{text[-1]}"


def unknown(kind: str, name: str, known: tuple[str, ...]) -> InvalidInput:
    """The error for a field that does not exist, with the nearest one."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1, 0.5)
    hint = f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(f'`{k}`' for k in known)}"
    context = {"option": name, "nearest": near[0]} if near else {"option": name}
    return InvalidInput(f"unknown option `{name}` of {kind}{hint}", context=context)


# ---------------------------------------------------------------- objects


class Object:
    """An object of the core. What it shows at once is what was seen when it was made."""

    __slots__ = ("_handle", "_properties", "__weakref__")
    _class = ""
    _types: dict[str, Any] = {}

    _handle: Any
    _properties: dict[str, Any]

    @classmethod
    def _made(cls, handle: Any, properties: dict[str, Any], answer: Answer) -> Any:
        self = cls.__new__(cls)
        self._handle = handle
        for name, spec in cls._types.items():
            if name in properties:
                properties[name] = answer.decode(spec, properties[name])
        self._properties = properties
        return self

    def __init__(self) -> None:
        raise InvalidInput(f"{type(self).__name__} is not made directly; its documentation names the call that gives one")

    def _construct(self, arguments: dict[str, Any], options: dict[str, Any], classes: ModuleType) -> None:
        arguments.update(options)
        packer = Packer()
        text = packer.pack(arguments)
        made = decode_outcome(_native.construct(self._class, text, packer.data, packer.handles), ("handle", self._class), classes)
        self._handle, self._properties = made._handle, made._properties

    def _native(self) -> Any:
        if self._handle is None:
            raise InvalidInput(f"this {type(self).__name__} is closed", hint="make a new one")
        return self._handle

    def __repr__(self) -> str:
        shown = (f"{name}={short(value)}" for name, value in self._properties.items() if value not in (None, "", [], {}))
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} cannot be pickled; make it anew in the other process")


class Group:
    """Calls of an object behind one name."""

    __slots__ = ("_of",)

    def __init__(self, of: Any) -> None:
        self._of = of

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._of!r})"


_PLAIN = Answer([], [], [], None)  # type: ignore[arg-type]


def begin(cls: str, method: str, target: Any, arguments: dict[str, Any], options: dict[str, Any]) -> tuple[Any, Any]:
    """Starts a call; gives it and the listener of its events."""
    on_event, deadline = options_of(options)
    arguments.update(options)
    packer = Packer()
    text = packer.pack(arguments) if arguments else ""
    handle = None if target is None else target._native()
    return _native.start(cls, method, handle, text, packer.data, packer.handles, on_event is not None, deadline), on_event
