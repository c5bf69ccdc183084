#!/usr/bin/env python3
"""Records what docker compose answers to each case, beside the case. Run by `make compose-golden`.

A case is a folder with Compose files and, where they need more, case.json: files, env, profiles, env_files, name, project_dir.
Each is answered in two folders, so that what depends on the folder is known: paths become `<dir>` and `<parent>`, and the
hash of a service that names the folder is left out, as null.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CASES = Path(__file__).parent / "cases"
ANSWERS = ("expected.json", "hashes.json", "rejected.txt")
HOME = "/home/somebody"
# So often is an answer that is not the known one asked for again.
TRIES = 20


def undouble(value: object) -> object:
    """A literal dollar is printed twice by the command line."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, list):
        return [undouble(v) for v in value]
    if isinstance(value, dict):
        return {k.replace("$$", "$"): undouble(v) for k, v in value.items()}
    return value


def ask(compose: str, case: Path, top: Path) -> tuple[object, dict[str, str], str]:
    """What docker compose says to one case in a copy below `top`: its model, its hashes, or why it says no."""
    folder = top / case.name
    shutil.copytree(case, folder, ignore=lambda where, names: [n for n in names if n in ANSWERS and Path(where) == case])
    options = json.loads((case / "case.json").read_text()) if (case / "case.json").exists() else {}
    command = [compose]
    for flag, key in (("-f", "files"), ("--profile", "profiles"), ("--env-file", "env_files")):
        for value in options.get(key, []):
            command += [flag, value]
    if "name" in options:
        command += ["-p", options["name"]]
    if "project_dir" in options:
        command += ["--project-directory", options["project_dir"]]
    env = {"HOME": HOME, "PATH": "/usr/bin:/bin", **options.get("env", {})}

    def call(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *more], cwd=folder, env=env, capture_output=True, text=True, errors="replace", timeout=60, check=False)

    def portable(text: str) -> str:
        return text.replace(str(folder), "<dir>").replace(str(top), "<parent>")

    answer = call("config", "--format", "json")
    if answer.returncode:
        lines = [line for line in portable(answer.stderr).splitlines() if line and not line.startswith("time=")]
        said = [lines[0]] if lines and lines[0].startswith("panic:") else lines
        return None, {}, "\n".join(said) + "\n"
    hashes = call("config", "--hash", "*")
    found = dict(line.split(" ", 1) for line in hashes.stdout.splitlines() if " " in line)
    return undouble(json.loads(portable(answer.stdout))), found, ""


def answer(compose: str, case: Path) -> dict[str, str]:
    """The answers to one case, by the names of their files."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        model, hashes, said = ask(compose, case, Path(one))
        _, others, _ = ask(compose, case, Path(two))
    if said:
        return {"rejected.txt": said}
    same = {name: value if others.get(name) == value else None for name, value in hashes.items()}
    return {
        "expected.json": json.dumps(model, indent=1, ensure_ascii=False) + "\n",
        "hashes.json": json.dumps(same, indent=1) + "\n",
    }


def record(compose: str, case: Path) -> str:
    """Writes the answers of one case.

    Where several things are wrong, docker compose tells any one of them, in no order: an answer that it still gives stays.
    """
    known = {name: (case / name).read_text() for name in ANSWERS if (case / name).exists()}
    found = answer(compose, case)
    for _ in range(TRIES):
        if not known or found == known:
            break
        again = answer(compose, case)
        found = again if again == known else found
    for name in ANSWERS:
        (case / name).unlink(missing_ok=True)
    for name, text in found.items():
        (case / name).write_text(text)
    return "rejected" if "rejected.txt" in found else "loaded"


def main() -> None:
    """Records all cases, or those whose names are given."""
    compose, *names = sys.argv[1:]
    cases = [CASES / name for name in names] or sorted(p for p in CASES.iterdir() if p.is_dir())
    version = subprocess.run([compose, "version", "--short"], capture_output=True, text=True, check=True).stdout.strip()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(lambda case: record(compose, case), cases))
    if not names:
        (CASES.parent / "version.txt").write_text(version + "\n")
    print(f"docker compose {version}: {answers.count('loaded')} cases loaded, {answers.count('rejected')} rejected")


main()
