"""Loads a Compose file, adds a service, changes an image, and prints the project."""

from __future__ import annotations

from pathlib import Path

import dockerkit as dk

project = dk.Project.load(Path(__file__).parents[1] / "shop" / "compose.yaml")

# Each change makes a new project, checked as a file is; the first one stays as it is.
changed = project.with_service("cache", {"image": "cache:2", "expose": [6379], "restart": "unless-stopped"})
changed = changed.set("services.web.image", "shop/web:2")
changed = changed.set("services.web.environment.CACHE", "cache:6379")

for warning in changed.warnings:
    print(warning)
print(changed.to_yaml(), end="")

# What is wrong is told with its key path and the nearest name.
try:
    changed.set("services.web.imag", "shop/web:3")
except dk.errors.InvalidCompose as wrong:
    for problem in wrong.diagnostics:
        print(f"{problem.path}: {problem.message} (did you mean {problem.suggestion}?)")
