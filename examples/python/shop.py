"""Makes three machines on this host, joins them, and spreads the shop over them: from nothing to there and back."""

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dockerkit as dk

SHOP = Path(__file__).resolve().parent.parent / "shop"
GREETING = SHOP / "config" / "greeting.txt"


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Says how long a part took."""
    begin = time.monotonic()
    yield
    print(f"== {name}: {time.monotonic() - begin:.1f} s\n")


def ask(cluster: dk.Cluster, stack: dk.Stack) -> str:
    """What the shop's front says, at the node that its task runs on."""
    task = next(t for t in stack.ps() if t.service.endswith("_web") and t.state == "running" and t.desired_state == "running")
    machine = next(m for m in cluster.machines if m.name == task.node)
    with urllib.request.urlopen(f"http://{machine.ip()}:8080/", timeout=10) as answer:
        return str(answer.read(), "utf-8").strip()


def run(cluster: dk.Cluster) -> None:
    project = dk.Project.load(SHOP / "compose.yaml")
    with phase("images built and on every node"):
        dk.App(dk.Engine.connect(), project).build()
        for service in project.config()["services"].values():
            cluster.push_image(service["image"], on_event=print)

    stack = cluster.stack(project)
    with phase("up"):
        print(stack.plan())
        stack.up(wait=True, on_event=print)
        for task in stack.ps():
            print(f"{task.name} runs on {task.node}")
        print(ask(cluster, stack))

    before = GREETING.read_text()
    with phase("another greeting"):
        try:
            GREETING.write_text("Hello again, with nothing built anew\n")
            print(stack.plan())
            stack.up(wait=True, on_event=print)
        finally:
            GREETING.write_text(before)
        print(ask(cluster, stack))

    print(snapshot := cluster.snapshot())
    victim = next(n for n in snapshot.nodes if not n.leader and n.running_tasks)
    with phase(f"{victim.name} lost, and its tasks moved"), cluster.watch() as changes:
        next(m for m in cluster.machines if m.name == victim.name).kill()
        moved = 0
        for change in changes:
            print(change.text)
            moved += change.kind == "task_changed" and change.state == "running" and change.node != victim.name
            if moved >= victim.running_tasks:
                break


def main() -> None:
    with phase("three machines, joined"):
        cluster = dk.Cluster.local("demo", nodes=3, on_event=print)
    try:
        run(cluster)
    finally:
        with phase("gone"):
            cluster.destroy()


if __name__ == "__main__":
    main()
