"""A worker of the engine's benchmark in Python: see `src/main.rs`. The first argument says which client."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

SOCKET, TARGET, LOGS, IMAGE = (os.environ[f"BENCH_{n}"] for n in ("SOCKET", "CONTAINER", "LOGS", "IMAGE"))
LABELS = {"list0": "none", "list50": "fifty", "list500": "many"}


SINCE, UNTIL, NOISY = os.environ["BENCH_PAST"].split()
PAST = {"container": [NOISY]}


def counted(events: Any) -> int:
    """All that there were, which must be enough for a fair comparison."""
    count = sum(1 for _ in events)
    assert count >= 250, count
    return count


def spent(parts: Any) -> int:
    return sum(len(part) for part in parts)


def dockerkit() -> Callable[[str, int], object]:
    import dockerkit as dk

    engine = dk.Engine.connect(f"unix://{SOCKET}")
    held = engine.containers.get(TARGET)
    big = Path(os.environ["BENCH_TAR"]).read_bytes()

    def at_once() -> None:
        threads = [threading.Thread(target=engine.containers.get, args=(TARGET,)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    works: dict[str, Callable[[], object]] = {
        "ping": engine.ping,
        "inspect": lambda: engine.containers.get(TARGET),
        "cycle": lambda: engine.containers.run(IMAGE, ["sleep", "100"]).remove(force=True, volumes=True),
        "exec": lambda: held.exec(["true"]),
        "logs": lambda: sum(len(c.data) for c in engine.containers.get(LOGS).logs()),
        "archive_out": lambda: spent(held.get_archive("/big")),
        "archive_in": lambda: held.put_archive("/tmp", data=big),
        "events": lambda: [counted(engine.events(since=SINCE, until=UNTIL, filters=PAST)) for _ in range(4)],
        "at_once": at_once,
    }
    for name, label in LABELS.items():
        works[name] = lambda label=label: engine.containers.list(all=True, filters={"label": [f"bench={label}"]})  # type: ignore[misc]
    return lambda op, times: again(works[op], times)


def dockerkit_aio() -> Callable[[str, int], object]:
    from dockerkit import aio

    runner = asyncio.Runner()
    engine = runner.run(start(aio))
    held = runner.run(got(engine, TARGET))
    big = Path(os.environ["BENCH_TAR"]).read_bytes()

    async def work(op: str) -> object:
        match op:
            case "ping":
                return await engine.ping()
            case "list0" | "list50" | "list500":
                return await engine.containers.list(all=True, filters={"label": [f"bench={LABELS[op]}"]})
            case "inspect":
                return await engine.containers.get(TARGET)
            case "cycle":
                return await (await engine.containers.run(IMAGE, ["sleep", "100"])).remove(force=True, volumes=True)
            case "exec":
                return await held.exec(["true"])
            case "logs":
                return sum([len(c.data) async for c in (await engine.containers.get(LOGS)).logs()])
            case "archive_out":
                return sum([len(p) async for p in held.get_archive("/big")])
            case "archive_in":
                return await held.put_archive("/tmp", data=big)
            case "events":
                for _ in range(4):
                    counted([event async for event in engine.events(since=SINCE, until=UNTIL, filters=PAST)])
                return None
            case "at_once":
                return await asyncio.gather(*(engine.containers.get(TARGET) for _ in range(50)))
        raise ValueError(op)

    return lambda op, times: runner.run(again_and_wait(lambda: work(op), times))


async def start(aio: Any) -> Any:
    return await aio.Engine.connect(f"unix://{SOCKET}")


async def got(engine: Any, name: str) -> Any:
    return await engine.containers.get(name)


def docker_py() -> Callable[[str, int], object]:
    import docker

    client = docker.DockerClient(base_url=f"unix://{SOCKET}", timeout=600, max_pool_size=50)
    held = client.containers.get(TARGET)
    big = Path(os.environ["BENCH_TAR"]).read_bytes()

    def at_once() -> None:
        threads = [threading.Thread(target=client.containers.get, args=(TARGET,)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    works: dict[str, Callable[[], object]] = {
        "ping": client.ping,
        "inspect": lambda: client.containers.get(TARGET),
        "cycle": lambda: client.containers.run(IMAGE, ["sleep", "100"], detach=True).remove(force=True, v=True),
        "exec": lambda: held.exec_run(["true"]),
        "logs": lambda: spent(client.containers.get(LOGS).logs(stream=True)),
        "archive_out": lambda: spent(held.get_archive("/big", chunk_size=None)[0]),
        "archive_in": lambda: held.put_archive("/tmp", big),
        "events": lambda: [counted(client.events(since=float(SINCE), until=float(UNTIL), filters=PAST, decode=True)) for _ in range(4)],
        "at_once": at_once,
    }
    for name, label in LABELS.items():
        works[name] = lambda label=label: client.api.containers(all=True, filters={"label": f"bench={label}"})  # type: ignore[misc]
    return lambda op, times: again(works[op], times)


def aiodocker() -> Callable[[str, int], object]:
    import aiodocker as peer

    runner = asyncio.Runner()

    async def begin() -> Any:
        return peer.Docker(f"unix://{SOCKET}")

    docker = runner.run(begin())
    big = Path(os.environ["BENCH_TAR"]).read_bytes()

    async def events() -> int:
        # Its own call for events cannot end at a time: the request that it makes, and its own decoder.
        async with docker._query("events", params={"since": SINCE, "until": UNTIL, "filters": json.dumps(PAST)}) as answer:
            return counted([event async for event in peer.jsonstream.json_stream_stream(answer)])

    async def work(op: str) -> object:
        container = docker.containers.container(TARGET)
        match op:
            case "ping":
                async with docker._query("_ping", versioned_api=False) as answer:
                    return await answer.read()
            case "list0" | "list50" | "list500":
                return await docker.containers.list(all=True, filters=f'{{"label": ["bench={LABELS[op]}"]}}')
            case "inspect":
                return await docker.containers.get(TARGET)
            case "cycle":
                made = await docker.containers.run({"Image": IMAGE, "Cmd": ["sleep", "100"]})
                return await made.delete(force=True, v=True)
            case "exec":
                made = await container.exec(["true"])
                async with made.start(detach=False) as stream:
                    while await stream.read_out() is not None:
                        pass
                return await made.inspect()
            case "logs":
                return sum([len(line) async for line in docker.containers.container(LOGS).log(stdout=True, stderr=True, follow=True)])
            case "archive_out":
                return await container.get_archive("/big")
            case "archive_in":
                return await container.put_archive("/tmp", big)
            case "events":
                return [await events() for _ in range(4)]
            case "at_once":
                return await asyncio.gather(*(docker.containers.get(TARGET) for _ in range(50)))
        raise ValueError(op)

    return lambda op, times: runner.run(asyncio.wait_for(again_and_wait(lambda: work(op), times), 600))


def docker_cli() -> Callable[[str, int], object]:
    def run(*args: str, stdin: Any = None) -> None:
        subprocess.run(["docker", "-H", f"unix://{SOCKET}", *args], check=True, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def cycle() -> None:
        name = f"bench-{os.getpid()}-{time.monotonic_ns()}"
        run("run", "-d", "--name", name, IMAGE, "sleep", "100")
        run("rm", "-f", "-v", name)

    def archive_in() -> None:
        with Path(os.environ["BENCH_TAR"]).open("rb") as tar:
            run("cp", "-", f"{TARGET}:/tmp", stdin=tar)

    def at_once() -> None:
        threads = [threading.Thread(target=run, args=("inspect", TARGET)) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    works: dict[str, Callable[[], object]] = {
        "ping": lambda: run("version", "--format", "{{.Server.Version}}"),
        "inspect": lambda: run("inspect", TARGET),
        "cycle": cycle,
        "exec": lambda: run("exec", TARGET, "true"),
        "logs": lambda: run("logs", LOGS),
        "archive_out": lambda: run("cp", f"{TARGET}:/big", "-"),
        "archive_in": archive_in,
        "events": lambda: [run("events", "--since", SINCE, "--until", UNTIL, "--filter", f"container={NOISY}", "--format", "{{json .}}") for _ in range(4)],
        "at_once": at_once,
    }
    for name, label in LABELS.items():
        works[name] = lambda label=label: run("ps", "-a", "--filter", f"label=bench={label}", "--format", "{{json .}}")  # type: ignore[misc]
    return lambda op, times: again(works[op], times)


def again(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


async def again_and_wait(work: Callable[[], Coroutine[Any, Any, object]], times: int) -> None:
    """In one run of the loop, as a program's calls are."""
    for _ in range(times):
        await work()


def main() -> None:
    work = {"dockerkit": dockerkit, "dockerkit.aio": dockerkit_aio, "docker-py": docker_py, "aiodocker": aiodocker, "docker": docker_cli}[sys.argv[1]]()
    for line in sys.stdin:
        operation, times = line.split()
        begin = time.perf_counter()
        try:
            work(operation, int(times))
        except Exception as error:
            print(f"failed {type(error).__name__}: {error}".replace("\n", " "), flush=True)
        else:
            print(f"{(time.perf_counter() - begin) * 1000 / int(times):.4f}", flush=True)


if __name__ == "__main__":
    main()
