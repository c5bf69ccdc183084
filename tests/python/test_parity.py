"""The two forms of the API and their stubs hold every call of the core, and the core has no other."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from typing import Any

import dockerkit as dk
import pytest
from conftest import TOP
from dockerkit import aio

API: dict[str, Any] = json.loads((TOP / "core" / "api.json").read_text())

# Calls of the core that are not in the table, each with its reason.
NOT_IN_THE_TABLE: dict[str, str] = {
    "Container::put_archive_stream": "no other language sends a stream yet: put_archive takes bytes or a file",
}


def pascal(snake: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in snake.split("_"))


def calls(cls: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    own = [(cls["name"], method) for method in cls["methods"]]
    return own + [(cls["name"] + pascal(group["name"]), method) for group in cls["groups"] for method in group["methods"]]


@pytest.mark.parametrize("module", [dk, aio], ids=["sync", "aio"])
@pytest.mark.parametrize("cls", API["classes"], ids=lambda c: c["name"])
def test_every_call_is_there(module: Any, cls: dict[str, Any]) -> None:
    found = getattr(module, cls["name"])
    inside = __import__(found.__module__, fromlist=["_"])
    for owner, method in calls(cls):
        call = getattr(getattr(inside, owner), method["name"])
        names = [p for p in inspect.signature(call).parameters if p not in ("self", "options")]
        assert names == [p["name"] for p in method["params"]]
        assert call.__doc__, f"{owner}.{method['name']} has no documentation"
        is_stream = method["result"]["kind"] == "stream"
        assert inspect.iscoroutinefunction(call) == (module is aio and not is_stream)
    for name in cls["properties"]:
        assert hasattr(found, name["name"])
    for group in cls["groups"]:
        assert hasattr(found, group["name"])


def stub(name: str) -> dict[str, ast.ClassDef]:
    text = Path(dk.__file__).with_name(f"{name}.pyi").read_text()
    return {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize("name", ["_sync", "_aio"])
def test_every_call_is_in_the_stubs_with_its_options(name: str) -> None:
    classes = stub(name)
    for cls in API["classes"]:
        for owner, method in calls(cls):
            found = [n for n in classes[owner].body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.name == method["name"]]
            assert len(found) == 1, f"{owner}.{method['name']}"
            names = {a.arg for a in found[0].args.kwonlyargs}
            assert names == {o["name"] for o in method["options"]} | {"on_event", "deadline"}


def test_every_model_is_there() -> None:
    for name in dk._models.__all__:
        assert getattr(dk, name) is getattr(aio, name)
    assert {cls.kind for cls in dk.DockerkitError.__subclasses__()} == {e["name"] for e in API["errors"]}


def test_every_public_call_of_the_core_is_in_the_table() -> None:
    table = {f"{pascal(owner)}::{name}" for cls in API["classes"] for owner, name in _rust_names(cls)}
    missing = [call for call in API["rust_calls"] if call not in table and call not in NOT_IN_THE_TABLE]
    assert not missing, f"public calls of the core that no other language has: {missing}"
    needless = [call for call in NOT_IN_THE_TABLE if call in table or call not in API["rust_calls"]]
    assert not needless, f"exceptions that are none: {needless}"


def _rust_names(cls: dict[str, Any]) -> list[tuple[str, str]]:
    own = [(cls["name"], method["name"]) for method in cls["methods"]]
    return own + [(group["name"], method["name"].rstrip("_")) for group in cls["groups"] for method in group["methods"]]


def test_generated_names_shadow_nothing() -> None:
    for cls in API["classes"]:
        names = [m["name"] for m in cls["methods"]] + [g["name"] for g in cls["groups"]]
        assert len(names) == len(set(names)), cls["name"]
