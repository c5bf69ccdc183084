"""Makes three machines on this host, joins them, and spreads the shop over them: from nothing to there and back."""

import time
import urllib.request
from pathlib import Path

import dockerkit as dk

SHOP = Path(__file__).resolve().parent.parent / "shop"
GREETING = SHOP / "config" / "greeting.txt"


class Phases:
    """Says how long each part took."""

    def __init__(self) -> None:
        self.begin = time.monotonic()

    def done(self, name: str) -> None:
        now = time.monotonic()
        print(f"== {name}: {now - self.begin:.1f} s\n")
        self.begin = now


def ask(url: str) -> str:
    """What the shop's front says."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode()).strip()


def front(cluster: dk.Cluster, stack: dk.Stack) -> str:
    """Where the shop's front is: at the node that its task runs on."""
    task = next(t for t in stack.ps() if t.service.endswith("_web") and t.state == "running" and t.desired_state == "running")
    machine = next(m for m in cluster.machines if m.name == task.node)
    return f"http://{machine.ip()}:8080/"


def main() -> None:
    phases = Phases()
    cluster = dk.Cluster.local("demo", nodes=3, on_event=print)
    phases.done("three machines, joined")
    try:
        project = dk.Project.load(str(SHOP / "compose.yaml"))
        dk.App(dk.Engine.connect(), project).build()
        for service in project.config()["services"].values():
            cluster.push_image(service["image"], on_event=print)
        phases.done("images built and on every node")

        stack = cluster.stack(project)
        print(stack.plan())
        stack.up(wait=True, on_event=print)
        for task in stack.ps():
            print(f"{task.name} runs on {task.node}")
        print(ask(front(cluster, stack)))
        phases.done("up")

        before = GREETING.read_text()
        try:
            GREETING.write_text("Hello again, with nothing built anew\n")
            print(stack.plan())
            stack.up(wait=True, on_event=print)
        finally:
            GREETING.write_text(before)
        print(ask(front(cluster, stack)))
        phases.done("another greeting")

        print(cluster.snapshot())
        victim = next(n for n in cluster.snapshot().nodes if not n.leader and n.running_tasks)
        changes = cluster.watch()
        next(m for m in cluster.machines if m.name == victim.name).kill()
        moved = 0
        for change in changes:
            print(change.text)
            moved += change.kind == "task_changed" and change.state == "running" and change.node != victim.name
            if moved >= victim.running_tasks:
                break
        changes.close()
        phases.done(f"{victim.name} lost, and its tasks moved")
    finally:
        cluster.destroy()
    phases.done("gone")


if __name__ == "__main__":
    main()
