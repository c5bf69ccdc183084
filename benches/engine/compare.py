"""Measures the engine's calls through every client, in rounds, and prints their ratios to raw sockets.

Each client is a worker: a process that does an operation once when it is told to, and says how long it took. So all of them
are measured in one run, against the same objects. In each round every client has one turn, in an order that chance makes: what
the turn before left behind, such as garbage that the engine now collects, hits all of them alike. A ratio is of two turns of one round.
"""

from __future__ import annotations

import os
import random
import select
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import dockerkit as dk

# How many seconds an operation may take.
LIMIT = 60
HERE = Path(__file__).resolve().parent
# Operations, in how many rounds each is measured, and what it is.
OPERATIONS = {
    # First: an engine forgets, and what is measured after it makes events.
    "events": (41, "1,000 events: 250 of the past, four times"),
    "ping": (41, "ping, 1,000 in a row"),
    "list0": (81, "list, no container"),
    "list50": (81, "list, 50 containers"),
    "list500": (61, "list, 500 containers"),
    "inspect": (41, "inspect, 200 in a row"),
    "cycle": (15, "create, start, remove"),
    "exec": (31, "exec of `true`"),
    "logs": (7, "logs, 50 MB in 500,000 lines"),
    "archive_out": (9, "archive of 200 MB, out"),
    "archive_in": (21, "archive of 200 MB, in"),
    "at_once": (31, "50 inspects at once"),
}
# Calls that take less than a millisecond are made so often in each turn: a few would measure how cold caches and sleeping processors are.
REPEATED = {"ping": 1000, "inspect": 200}
# A program that is started for each call.
CLI, FEW = "docker CLI", 3
IMPORTS = {
    "dockerkit (Python)": ["python", "import dockerkit"],
    "docker-py": ["python", "import docker"],
    "aiodocker": ["python", "import aiodocker"],
    "dockerkit (Node)": ["node", "require('dockerkit')"],
    "dockerode": ["node", f"require({os.environ.get('DOCKERODE', 'dockerode')!r})"],
}


@dataclass
class Worker:
    """One client."""

    name: str
    command: list[str]
    times: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def once(self, operation: str) -> None:
        if operation in self.failures:
            return
        if self.process is None:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        times = REPEATED.get(operation, 1)
        self.process.stdin.write(f"{operation} {min(times, FEW) if self.name == CLI else times}\n")
        self.process.stdin.flush()
        # One line is one answer: what can be read is one whole.
        there, _, _ = select.select([self.process.stdout], [], [], LIMIT)
        answer = self.process.stdout.readline().strip() if there else f"failed: no end within {LIMIT} s"
        if answer.startswith("failed") or not answer:
            self.failures[operation] = answer
            self.end()
        else:
            self.times.setdefault(operation, []).append(float(answer))

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def median(self, operation: str) -> float | None:
        return statistics.median(self.times[operation]) if self.times.get(operation) else None

    def ratio(self, operation: str, base: Worker) -> float:
        """How many times as long as `base` it took, in the middle of all rounds."""
        return statistics.median(own / other for own, other in zip(self.times[operation], base.times[operation], strict=True))


def set_up(engine: dk.Engine, image: str, run: str) -> dict[str, str]:
    """Makes what is measured, and says where it is."""
    for label, count in (("fifty", 50), ("many", 500)):
        for i in range(count):
            engine.containers.create(image, ["true"], labels={"bench": label, "bench.run": run}, name=f"{run}-{label}-{i}")
    own = {"bench.run": run}
    target = engine.containers.run(image, ["sh", "-c", "head -c 200000000 /dev/urandom >/big; sleep 100000"], labels=own, name=f"{run}-target", stop_timeout=0)
    line = "x" * 99
    logs = engine.containers.run(image, ["sh", "-c", f"yes {line} | head -n 500000"], labels=own, name=f"{run}-logs")
    logs.wait()
    while target.exec(["sh", "-c", "stat -c %s /big"]).stdout.strip() != b"200000000":
        time.sleep(0.2)
    # An engine remembers its last 256 events: what happened to one container is asked for, so that each client gets the same.
    begin = time.time()
    noisy = engine.containers.create(image, ["true"], labels=own, name=f"{run}-noisy")
    for i in range(249):
        noisy.rename(f"{run}-noisy-{i}")
    past = f"{begin - 1:.9f} {time.time() + 1:.9f} {noisy.id}"
    time.sleep(1.1)
    return {"BENCH_CONTAINER": target.id, "BENCH_LOGS": logs.id, "BENCH_PAST": past}


def clean_up(engine: dk.Engine, run: str) -> None:
    for container in engine.containers.list(all=True, filters={"label": [f"bench.run={run}"]}):
        container.remove(force=True, volumes=True)


def table(workers: list[Worker]) -> str:
    raw = workers[0]
    rows = ["| operation | raw | " + " | ".join(w.name for w in workers[1:]) + " |", "|---" * (len(workers) + 1) + "|"]
    for operation, (_, words) in OPERATIONS.items():
        base = raw.median(operation)
        cells = [f"{base:.2f} ms" if base else "-"]
        for worker in workers[1:]:
            if operation in worker.failures:
                cells.append("failed")
            else:
                cells.append(f"{worker.ratio(operation, raw):.2f}" if base else "-")
        rows.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def imports() -> str:
    """What loading each package takes, over the bare interpreter: median of time, and of memory."""
    rows = ["| package | time | memory |", "|---|---|---|"]

    def measure(kind: str, code: str) -> tuple[float, float]:
        if kind == "python":
            program = [sys.executable, "-c", f"{code}\nprint(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS')))"]
        else:
            program = ["node", "-e", f"{code};console.log(process.memoryUsage().rss / 1024)"]
        times, memory = [], []
        for _ in range(11):
            begin = time.perf_counter()
            done = subprocess.run(program, capture_output=True, text=True, check=True)
            times.append((time.perf_counter() - begin) * 1000)
            memory.append(float(done.stdout.strip()))
        return statistics.median(times), statistics.median(memory)

    bare = {"python": measure("python", "pass"), "node": measure("node", "0")}
    for name, (kind, code) in IMPORTS.items():
        took, used = measure(kind, code)
        rows.append(f"| {name} | {took - bare[kind][0]:.0f} ms | {(used - bare[kind][1]) / 1024:.1f} MB |")
    return "\n".join(rows)


def main() -> None:
    endpoint, image = os.environ["DOCKERKIT_LAB_ENGINE"], os.environ["DOCKERKIT_LAB_IMAGE"]
    engine = dk.Engine.connect(endpoint)
    run = f"dk-bench-{uuid.uuid4().hex[:6]}"
    rust, python, node = os.environ["BENCH_WORKER"], [sys.executable, str(HERE / "worker.py")], ["node", str(HERE / "worker.js")]
    workers = [Worker(way, [rust, way]) for way in ("raw", "dockerkit", "bollard")]
    workers[1].name = "dockerkit (Rust)"
    workers += [Worker(name, [*python, way]) for name, way in (("dockerkit (Python)", "dockerkit"), ("dockerkit.aio", "dockerkit.aio"))]
    workers += [Worker(way, [*python, way]) for way in ("docker-py", "aiodocker")]
    workers += [Worker(CLI, [*python, "docker"])]
    workers += [Worker("dockerkit (Node)", [*node, "dockerkit"]), Worker("dockerode", [*node, "dockerode"])]
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        big = Path(folder) / "in"
        big.write_bytes(os.urandom(200_000_000))
        with tarfile.open(Path(folder) / "in.tar", "w") as tar:
            tar.add(big, "in")
        os.environ |= {"BENCH_TAR": str(Path(folder) / "in.tar"), "BENCH_SOCKET": endpoint.removeprefix("unix://"), "BENCH_IMAGE": image}
        try:
            os.environ |= set_up(engine, image, run)
            for operation, (rounds, _) in OPERATIONS.items():
                print(operation, file=sys.stderr)
                for _ in range(rounds + 1):
                    for worker in chance.sample(workers, len(workers)):
                        worker.once(operation)
                for worker in workers:
                    # The first time warms up.
                    worker.times.get(operation, [])[:1] = []
        finally:
            for worker in workers:
                worker.end()
            clean_up(engine, run)
    version = engine.version()
    print(f"Engine {version.version}, {os.cpu_count()} CPUs, {time.strftime('%Y-%m-%d')}. Medians: raw in milliseconds, the others as ratios to it.\n")
    print(table(workers))
    print("\nLoading, over the bare interpreter:\n")
    print(imports())
    for worker in workers:
        for operation, why in worker.failures.items():
            print(f"\n{worker.name}, {operation}: {why}")


if __name__ == "__main__":
    main()
