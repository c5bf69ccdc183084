"""Clusters and machines from Python, on nodes that are containers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import dockerkit as dk
import pytest
from conftest import lab
from dockerkit import aio

TEXT = """
name: duo
services:
  web: {{image: {image}, command: sleep 1000, stop_grace_period: 0s, depends_on: {{api: {{condition: service_healthy}}}}, configs: [note]}}
  api: {{image: {image}, command: sleep 1000, stop_grace_period: 0s, healthcheck: {{test: ["CMD", "true"], interval: 1s}}, secrets: [token]}}
secrets: {{token: {{content: hunter2}}}}
configs: {{note: {{content: one}}}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("store") / "machine")


@pytest.fixture(scope="module")
def cluster(place: str) -> Iterator[dk.Cluster]:
    """A cluster of two nodes, with the test's image."""
    endpoint, image = lab("DOCKERKIT_LAB_ENGINE"), lab("DOCKERKIT_LAB_IMAGE")
    seen: list[dk.Event] = []
    cluster = dk.Cluster.local(f"dkpy{os.getpid()}", nodes=2, endpoint=endpoint, path=place, on_event=seen.append)
    assert {e.host for e in seen} == {m.name for m in cluster.machines}
    cluster.push_image(image, source=dk.Engine.connect(endpoint))
    yield cluster
    cluster.destroy()
    assert not Path(place).exists()


def stack_of(cluster: dk.Cluster, image: str) -> dk.Stack:
    return cluster.stack(dk.Project.parse(TEXT.format(image=image)))


def test_a_stack_goes_up_and_down(cluster: dk.Cluster, image: str) -> None:
    stack = stack_of(cluster, image)
    plan = stack.plan()
    assert [s.resource.kind for s in plan.steps] == ["network", "secret", "config", "service", "service"]
    report = stack.up(wait=True)
    assert report.stack == "duo"
    assert "create service duo_web" in report.done
    nodes = {t.service: t.node for t in stack.ps() if t.state == "running"}
    assert len(set(nodes.values())) == 2
    assert stack.plan().is_empty
    assert stack.up().done == []
    assert [s.name for s in dk.Stack.list(cluster.swarm)] == ["duo"]
    snapshot = cluster.snapshot()
    assert str(snapshot).startswith("NODE")
    assert len(snapshot.nodes) == 2
    assert cluster.metrics().endswith("# EOF\n")
    stack.down()
    assert cluster.swarm.services.list() == []


def test_errors_say_what_to_do(cluster: dk.Cluster, place: str, image: str) -> None:
    with pytest.raises(dk.errors.AlreadyExists) as there:
        dk.Cluster.local(cluster.name, nodes=2, endpoint=lab("DOCKERKIT_LAB_ENGINE"), path=place)
    assert "Cluster.open" in str(there.value)
    with pytest.raises(dk.errors.NotFound) as missing:
        dk.Cluster.open(cluster.name + "x", path=place)
    assert f"did you mean {cluster.name}?" in str(missing.value)
    with pytest.raises(dk.errors.NotFound):
        cluster.push_image("no/such:1", source=dk.Engine.connect(lab("DOCKERKIT_LAB_ENGINE")))
    bad = dk.Project.parse(f"name: bad\nservices: {{a: {{image: {image}, command: 'false', deploy: {{restart_policy: {{delay: 0s}}}}}}}}")
    with pytest.raises(dk.errors.Unhealthy) as failed:
        cluster.stack(bad).up(wait=True, timeout=60)
    assert failed.value.context["service"] == "bad_a"
    dk.Stack(cluster.swarm, name="bad").down()


def test_tokens_are_given_and_not_shown(cluster: dk.Cluster) -> None:
    tokens = cluster.swarm.tokens()
    assert tokens.worker.startswith("SWMTKN-")
    assert "SWMTKN" not in repr(tokens)


def test_a_cancelled_up_is_finished_by_the_next(cluster: dk.Cluster, place: str, image: str) -> None:
    async def cut() -> None:
        opened = await aio.Cluster.open(cluster.name, path=place)
        stack = await opened.stack(await aio.Project.parse(TEXT.format(image=image)))
        for after in (0.01, 0.1, 1.0):
            task = asyncio.ensure_future(stack.up(wait=True))
            await asyncio.sleep(after)
            task.cancel()
            begin = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - begin < 1
        await stack.up(wait=True)
        assert (await stack.plan()).is_empty
        await stack.down()

    asyncio.run(cut())


def test_ctrl_c_ends_an_up(cluster: dk.Cluster, place: str, image: str) -> None:
    program = f"""
        import dockerkit as dk
        cluster = dk.Cluster.open({cluster.name!r}, path={place!r})
        stack = cluster.stack(dk.Project.parse({TEXT.format(image=image)!r}))
        print("go", flush=True)
        try:
            stack.up(wait=True)
        except KeyboardInterrupt:
            print("stopped", flush=True)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    assert process.stdout.readline() == "stopped\n"
    assert time.monotonic() - begin < 1
    assert process.wait() == 0
    stack = stack_of(cluster, image)
    stack.up(wait=True)
    assert stack.plan().is_empty
    stack.down()


def test_machines(cluster: dk.Cluster, place: str) -> None:
    machines = dk.Machines(place)
    assert [m.name for m in machines.list()] == [m.name for m in cluster.machines]
    machine = machines.get(cluster.machines[0].name)
    assert machine.state() == "running"
    assert machine.driver == "local"
    assert machine.ssh(["hostname"]).stdout.decode().strip() == machine.name
    assert machine.env().variables["DOCKER_HOST"] == machine.url
    assert machine.engine().version().version
    with pytest.raises(dk.errors.Unreachable):
        machines.create("gone", dk.ExistingDriver("unix:///nothing/here.sock"))
    assert len(machines.list()) == 2


def test_ssh(tmp_path: Path, image: str) -> None:
    driver = dk.SshDriver(
        lab("DOCKERKIT_LAB_SSH_HOST"),
        user=lab("DOCKERKIT_LAB_SSH_USER"),
        key=lab("DOCKERKIT_LAB_SSH_KEY"),
        known_hosts=lab("DOCKERKIT_LAB_SSH_KNOWN_HOSTS"),
    )
    machine = dk.Machines(str(tmp_path / "machine")).create("bare", driver)
    engine = machine.engine()
    assert engine.version().version
    archive = b"".join(dk.Engine.connect(lab("DOCKERKIT_LAB_ENGINE")).images.save([image]))
    engine.images.load(data=archive)
    assert engine.containers.run_output(image, ["echo", "over ssh"]).stdout == b"over ssh\n"
    machine.remove()
    strange = tmp_path / "known_hosts"
    strange.write_text("")
    with pytest.raises(dk.errors.Untrusted):
        dk.Engine.connect(f"ssh://{driver.host}", ssh=dk.SshOptions(user="root", known_hosts=str(strange), host_key="strict"))
