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


def test_a_policy_says_what_files_may_reach(tmp_path: Path) -> None:
    folder, other = tmp_path / "app", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (other / "x.env").write_text("KEY=value\n")
    file = folder / "compose.yaml"
    file.write_text(f"services: {{web: {{image: i, env_file: {other / 'x.env'}}}}}\n")
    good: list[dk.LoadPolicy] = [dk.LoadPolicy(), dk.LoadPolicy(roots=[other]), dk.LoadPolicy(max_file="4k", max_total=8192, max_files=2)]
    for policy in good:
        assert dk.Project.load(file, policy=policy).config()["services"]["web"]["environment"] == {"KEY": "value"}
    bad = [
        (dk.LoadPolicy(roots=[]), "outside"),
        (dk.LoadPolicy(absolute=False), "absolute path"),
        (dk.LoadPolicy(max_files=1), "more than 1 files"),
        (dk.LoadPolicy(max_file=20), "too large"),
        (dk.LoadPolicy(max_total=30), "too large"),
    ]
    for policy, said in bad:
        with pytest.raises(dk.errors.InvalidCompose, match=said):
            dk.Project.load(file, policy=policy)
    file.write_text("services: {web: {build: https://example.org/a.git}}\n")
    dk.Project.load(file, policy="trusted")
    for remote in ("untrusted", dk.LoadPolicy(remotes=False)):
        with pytest.raises(dk.errors.InvalidCompose, match="other hosts"):
            dk.Project.load(file, policy=remote)


def test_a_policy_is_one_of_two_words_or_an_object() -> None:
    text = "name: a\nservices: {web: {image: i}}"
    with pytest.raises(dk.errors.InvalidInput, match="trusted"):
        dk.Project.parse(text, policy="none")  # type: ignore[arg-type]
    with pytest.raises(dk.errors.InvalidInput):
        dk.Project.parse(text, policy={"rots": []})
    with pytest.raises((TypeError, dk.errors.InvalidInput)):
        dk.LoadPolicy(rots=[])  # type: ignore[call-arg]
