"""Compose files from Python: what is loaded, and how wrong ones are reported."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dockerkit as dk
import pytest
from conftest import TOP
from dockerkit import aio

SHOP = TOP / "examples" / "shop" / "compose.yaml"


def test_the_shop_is_loaded() -> None:
    project = dk.Project.load(SHOP)
    assert project.name == "shop"
    assert sorted(project.services) == ["api", "store", "web"]
    config = project.config()
    assert config["services"]["web"]["image"] == "shop/web:1"
    assert set(project.hashes()) == {"api", "store", "web"}


def test_the_shop_is_loaded_by_asyncio() -> None:
    async def work() -> str:
        project = await aio.Project.load(str(SHOP))
        return project.name

    assert asyncio.run(work()) == "shop"


def test_files_are_given_one_by_one_or_as_a_list(tmp_path: Path) -> None:
    first, second = tmp_path / "compose.yaml", tmp_path / "more.yaml"
    first.write_text("name: two\nservices:\n  web:\n    image: one\n")
    second.write_text("services:\n  web:\n    image: two:${TAG}\n")
    for project in (dk.Project.load(first, second, env={"TAG": "v2"}), dk.Project.load([first, second], env={"TAG": "v2"})):
        assert project.config()["services"]["web"]["image"] == "two:v2"


def test_a_wrong_key_is_reported_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("name: wrong\nservices:\n  web:\n    image: one\n    prots: [80]\n")
    with pytest.raises(dk.errors.InvalidCompose) as caught:
        dk.Project.load(file)
    (problem,) = caught.value.diagnostics
    assert (problem.line, problem.column) == (5, 5)
    assert problem.file.endswith("compose.yaml")
    assert problem.path == "services.web.prots"
    assert problem.suggestion == "ports"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(dk.errors.NotFound, match=r"none\.yaml"):
        dk.Project.load(tmp_path / "none.yaml")
