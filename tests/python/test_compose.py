"""Compose files beside docker compose: the cases of tests/compose, and projects that are changed from code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dockerkit as dk
import pytest
from conftest import TOP
from dockerkit import aio

CASES = TOP / "tests" / "compose" / "cases"
DIFFERENCES = json.loads((TOP / "tests" / "compose" / "differences.json").read_text())


def load(folder: Path) -> dk.Project:
    """Loads a case as its case.json says."""
    options: dict[str, Any] = json.loads((folder / "case.json").read_text()) if (folder / "case.json").exists() else {}
    files = [folder / f for f in options.get("files", [])]
    project_dir = folder / options["project_dir"] if "project_dir" in options else None if files else folder
    return dk.Project.load(
        files,
        clear_env=True,
        env={"HOME": "/home/somebody", **options.get("env", {})},
        profiles=options.get("profiles", []),
        env_files=[folder / f for f in options.get("env_files", [])],
        name=options.get("name"),
        project_dir=project_dir,
    )


def number(text: str) -> int | float:
    """Go writes large floats without an exponent."""
    return int(text) if abs(int(text)) < 1 << 63 else float(text)


def portable(value: object, folder: Path) -> Any:
    """Paths become the marks that the recorded answers have."""
    return json.loads(json.dumps(value).replace(str(folder), "<dir>").replace(str(folder.parent), "<parent>"), parse_int=number)


def test_every_case() -> None:
    cases = sorted(CASES.iterdir())
    assert len(cases) >= 300
    wrong = []
    for folder in cases:
        if folder.name in DIFFERENCES:
            continue
        expected = folder / "expected.json"
        try:
            project = load(folder)
        except dk.DockerkitError as e:
            if expected.exists():
                wrong.append(f"{folder.name}: {e}")
            continue
        if not expected.exists():
            wrong.append(f"{folder.name}: loaded")
            continue
        if portable(project.config(), folder) != json.loads(expected.read_text(), parse_int=number):
            wrong.append(f"{folder.name}: another model")
        hashes = json.loads((folder / "hashes.json").read_text())
        ours = project.hashes()
        if set(ours) != set(hashes) or any(h is not None and ours[n] != h for n, h in hashes.items()):
            wrong.append(f"{folder.name}: other hashes")
    assert not wrong, "\n".join(wrong)


TEXT = "name: shop\nservices:\n  web: {image: 'web:1', environment: {A: 'x$$y'}}\nvolumes: {data: }\n"


def test_a_project_is_changed_from_code() -> None:
    project = dk.Project.parse(TEXT, clear_env=True)
    changed = project.set("services.web.image", "web:2").with_service("db", {"image": "db", "volumes": ["data:/var/lib/db"], "labels": {"some_key": "$x"}})
    changed = changed.set("services.web.depends_on", ["db"])
    config = changed.config()
    assert config["services"]["web"]["image"] == "web:2"
    assert config["services"]["db"]["volumes"][0]["source"] == "data"
    assert config["services"]["db"]["labels"] == {"some_key": "$x"}
    assert project.config()["services"]["web"]["image"] == "web:1"
    for text in (changed.to_yaml(), changed.to_json()):
        assert dk.Project.parse(text, clear_env=True).config() == config
    assert "ports" not in changed.set("services.web.ports", ["80"]).remove("services.web.ports").config()["services"]["web"]
    with pytest.raises(dk.errors.InvalidCompose) as wrong:
        changed.set("services.web.imag", "x")
    first = wrong.value.diagnostics[0]
    assert (first.path, first.suggestion) == ("services.web.imag", "image")


def test_problems_have_places(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services:\n  web:\n    image: i\n    mem_limit: $SECRET\n    prots: []\n")
    with pytest.raises(dk.errors.InvalidCompose) as wrong:
        dk.Project.load(file, env={"SECRET": "hunter2"})
    size, unknown = wrong.value.diagnostics
    assert (size.line, size.column, size.expected, size.chain) == (4, 16, "a size such as 512m", ["interpolated from $SECRET"])
    assert (unknown.path, unknown.suggestion) == ("services.web.prots", "ports")
    assert "hunter2" not in repr(wrong.value) + str(wrong.value)


def test_asynchronous() -> None:
    import asyncio

    async def run() -> str:
        project = await aio.Project.parse(TEXT, clear_env=True)
        return await (await project.set("services.web.image", "web:3")).to_yaml()

    assert "image: web:3" in asyncio.run(run())
