"""Prints the time of ping, list and logs through dockerkit and, where it is installed, docker-py, in alternating rounds.

The engine and an image with a shell are those of the lab's variables, else the default engine and `dockerkit-lab/busybox:1`.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
import uuid
from collections.abc import Callable

import dockerkit as dk
from dockerkit import aio

LINES = 20_000
ROUNDS = 15


def once(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def main() -> None:
    endpoint = os.environ.get("DOCKERKIT_LAB_ENGINE", "unix:///var/run/docker.sock")
    image = os.environ.get("DOCKERKIT_LAB_IMAGE", "dockerkit-lab/busybox:1")
    engine = dk.Engine.connect(endpoint)
    name = f"dk-bench-{uuid.uuid4().hex[:8]}"
    container = engine.containers.run(image, ["sh", "-c", f"i=0; while [ $i -lt {LINES} ]; do echo line number $i; i=$((i+1)); done"], name=name)
    container.wait()
    works: dict[str, dict[str, Callable[[], object]]] = {
        "ping": {"dockerkit": engine.ping},
        "list": {"dockerkit": lambda: engine.containers.list(all=True)},
        "logs": {"dockerkit": lambda: sum(len(chunk.data) for chunk in container.logs())},
    }
    with asyncio.Runner() as runner:
        other = runner.run(_connect(endpoint))
        works["ping"]["dockerkit.aio"] = lambda: runner.run(_ping(other))
        try:
            import docker
        except ImportError:
            print("docker-py is not installed: only dockerkit is measured")
        else:
            client = docker.DockerClient(base_url=endpoint)
            works["ping"]["docker-py"] = client.ping
            works["list"]["docker-py"] = lambda: client.containers.list(all=True)
            works["logs"]["docker-py"] = lambda: len(client.containers.get(name).logs())
        try:
            for what, ways in works.items():
                times: dict[str, list[float]] = {way: [] for way in ways}
                for _ in range(ROUNDS):
                    for way, work in ways.items():
                        times[way].append(once(work))
                print(what, "  ".join(f"{way} {statistics.median(all_):.2f} ms" for way, all_ in times.items()))
        finally:
            container.remove(force=True)


async def _connect(endpoint: str) -> aio.Engine:
    return await aio.Engine.connect(endpoint)


async def _ping(engine: aio.Engine) -> None:
    await engine.ping()


if __name__ == "__main__":
    main()
