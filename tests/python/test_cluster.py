"""Clusters and machines from Python, on nodes that are containers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dockerkit as dk
import pytest
from conftest import TOP, lab
from dockerkit import aio

TEXT = """
name: duo
services:
  web: {{image: {image}, command: sleep 1000, stop_grace_period: 0s, depends_on: {{api: {{condition: service_healthy}}}}, configs: [note]}}
  api: {{image: {image}, command: sleep 1000, stop_grace_period: 0s, healthcheck: {{test: ["CMD", "true"], interval: 1s}}, secrets: [token]}}
secrets: {{token: {{file: {secret}}}}}
configs: {{note: {{content: one}}}}
"""


def text_of(image: str) -> str:
    """The file of the stack; its secret is any file that is there."""
    return TEXT.format(image=image, secret=TOP / "clippy.toml")


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
    return cluster.stack(dk.Project.parse(text_of(image)))


def test_a_stack_goes_up_and_down(cluster: dk.Cluster, image: str) -> None:
    stack = stack_of(cluster, image)
    plan = stack.plan(wait=True)
    assert [s.resource.kind for s in plan.steps] == ["network", "secret", "config", "service", "service"]
    report = stack.apply(plan)
    with pytest.raises(dk.errors.Conflict):
        stack.apply(plan)
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


def test_a_swarm_is_looked_into_changed_and_locked(cluster: dk.Cluster, image: str) -> None:
    swarm = cluster.swarm
    assert swarm.secrets.create("key", "hunter2", labels={"made": "here"}).data is None
    note = swarm.configs.create("note", b"hello")
    assert (note.data, [c.name for c in swarm.configs.list()]) == (b"hello", ["note"])
    use = "secrets: [key], configs: [{source: note, target: /note}]"
    text = f"""
name: solo
services: {{a: {{image: {image}, command: sh -c 'cat /note; echo; sleep 1000', stop_grace_period: 0s, {use}}}}}
secrets: {{key: {{external: true}}}}
configs: {{note: {{external: true}}}}
"""
    stack = cluster.stack(dk.Project.parse(text))
    stack.up(wait=True)
    with pytest.raises(dk.errors.Conflict, match="in use"):
        swarm.secrets.remove("key")
    with pytest.raises(dk.errors.Conflict, match="in use"):
        swarm.configs.remove("note")
    service = swarm.services.get("solo_a")
    with pytest.raises(dk.errors.Conflict):
        service.rollback()
    assert service.scale(2).desired_tasks == 2
    with service.logs(follow=True) as logs:
        assert next(iter(logs)).data.startswith(b"hello")
    assert service.rollback().desired_tasks == 1
    assert {t.service for t in service.tasks()} == {"solo_a"}
    node = next(n for n in swarm.nodes.list() if n.leader)
    assert (node.drain().availability, node.activate().availability) == ("drain", "active")
    assert node.update(labels={"disk": "ssd"}).labels == {"disk": "ssd"}
    stack.down()
    swarm.secrets.remove("key")
    swarm.configs.remove("note")
    with pytest.raises(dk.errors.NotFound):
        swarm.secrets.get("key")
    assert swarm.unlock_key() == ""
    swarm.update(autolock=True)
    key = swarm.unlock_key()
    assert key.startswith("SWMKEY-")
    engine = cluster.machines[0].engine()
    with pytest.raises(dk.errors.Conflict):
        dk.Swarm.unlock(engine, key)
    swarm.update(autolock=False)
    assert swarm.unlock_key() == ""


def test_members_change_their_role_leave_and_come_back(cluster: dk.Cluster) -> None:
    swarm = cluster.swarm
    worker = next(n for n in swarm.nodes.list() if n.role == "worker")
    assert swarm.nodes.get(worker.id).promote().role == "manager"
    assert (worker.demote().role, worker.reload().role) == ("worker", "worker")
    # It goes, is a swarm of its own, and comes back.
    engine = cluster.machines[1].engine()
    swarm.leave(engine)
    own = dk.Swarm.init(engine, advertise_addr=cluster.machines[1].ip())
    assert own.id != swarm.id
    with pytest.raises(dk.errors.AlreadyExists):
        swarm.join(engine)
    with pytest.raises(dk.errors.Conflict):
        own.leave(engine)
    own.leave(engine, force=True)
    assert swarm.join(engine).role == "worker"
    old = swarm.tokens().worker
    assert swarm.rotate_token("worker").worker != old


def test_a_cancelled_up_is_finished_by_the_next(cluster: dk.Cluster, place: str, image: str) -> None:
    async def cut() -> None:
        opened = await aio.Cluster.open(cluster.name, path=place)
        stack = await opened.stack(await aio.Project.parse(text_of(image)))
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
        import signal
        import dockerkit as dk
        # A background shell leaves the signal ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        cluster = dk.Cluster.open({cluster.name!r}, path={place!r})
        stack = cluster.stack(dk.Project.parse({text_of(image)!r}))
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
    gone = dk.ExistingDriver("unix:///nothing/here.sock")
    with pytest.raises(dk.errors.Unreachable):
        machines.create("gone", gone)
    with pytest.raises(dk.errors.Partial) as partial:
        machines.create_all([dk.MachineSpec("adopted", dk.ExistingDriver(lab("DOCKERKIT_LAB_ENGINE"))), dk.MachineSpec("gone", gone)])
    assert [f.name for f in partial.value.failures] == ["gone"]
    machines.get("adopted").remove()
    assert len(machines.list()) == 2


def test_a_cluster_that_was_not_finished_is_discarded(tmp_path: Path) -> None:
    name, place = f"dkpyhalf{os.getpid()}", str(tmp_path / "machine")
    with pytest.raises(dk.errors.Timeout):
        dk.Cluster.local(name, nodes=2, endpoint=lab("DOCKERKIT_LAB_ENGINE"), path=place, deadline=0.6)
    assert dk.Cluster.list(path=place) == [name]
    dk.Cluster.discard(name, path=place)
    assert not Path(place).exists()


@pytest.fixture
def login() -> dict[str, Any]:
    """How to log in to the lab's hosts."""
    return {"user": lab("DOCKERKIT_LAB_SSH_USER"), "identity_files": [lab("DOCKERKIT_LAB_SSH_KEY")], "known_hosts": lab("DOCKERKIT_LAB_SSH_KNOWN_HOSTS")}


def test_a_host_behind_ssh(tmp_path: Path, image: str, login: dict[str, Any]) -> None:
    machine = dk.Machines(str(tmp_path / "machine")).create("host", dk.SshDriver(lab("DOCKERKIT_LAB_SSH_FAULTY"), **login))
    engine = machine.engine()
    assert engine.version().version
    archive = b"".join(dk.Engine.connect(lab("DOCKERKIT_LAB_ENGINE")).images.save([image]))
    engine.images.load(data=archive)
    assert engine.containers.run_output(image, ["echo", "over ssh"]).stdout == b"over ssh\n"
    container = engine.containers.run(image, ["sh", "-c", "while true; do echo tick; sleep 0.1; done"])
    with container.logs(follow=True) as logs:
        assert next(iter(logs)).data.startswith(b"tick")
    session = container.exec_session(["sh"], tty=True)
    session.resize(100, 40)
    session.write(b"stty size; exit 7\n")
    shown = b""
    while chunk := session.read():
        shown += chunk.data
    assert b"40 100" in shown
    assert session.wait() == 7
    container.remove(force=True)
    assert machine.ssh(["hostname"]).stdout == b"faulty\n"
    machine.remove()


def test_a_host_is_known_by_its_key(tmp_path: Path, login: dict[str, Any]) -> None:
    host = lab("DOCKERKIT_LAB_SSH_FAULTY")
    line = next(line for line in Path(login["known_hosts"]).read_text().splitlines() if line.startswith(host + " "))
    strange, changed = tmp_path / "strange", tmp_path / "changed"
    strange.write_text("")
    changed.write_text(line.replace(host, f"[{host}]:2201", 1) + "\n")
    with pytest.raises(dk.errors.Untrusted, match="not known"):
        dk.Engine.connect(f"ssh://{host}", ssh=dk.SshOptions(**login | {"known_hosts": strange, "host_key": "strict"}))
    with pytest.raises(dk.errors.Untrusted, match="ssh-keygen -R"):
        dk.Engine.connect(f"ssh://{host}:2201", ssh=dk.SshOptions(**login | {"known_hosts": changed}))
    with pytest.raises(dk.errors.InvalidInput, match="host key"):
        dk.Engine.connect(f"ssh://{host}", ssh=dk.SshOptions(host_key="off"))
    with pytest.raises(dk.errors.InvalidInput, match="identity_files"):
        dk.Engine.connect(f"ssh://{host}", ssh=dk.SshOptions(identity_files="key"))


def test_the_agent_lets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: dict[str, Any]) -> None:
    socket = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        while not Path(socket).exists():
            time.sleep(0.02)
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        subprocess.run(["ssh-add", "-q", login.pop("identity_files")[0]], check=True)
        machine = dk.Machines(str(tmp_path / "machine")).create("host", dk.SshDriver(lab("DOCKERKIT_LAB_SSH_FAULTY"), **login))
        assert machine.ssh("true").exit_code == 0
        with pytest.raises(dk.errors.Unauthorized):
            dk.Engine.connect(machine.url, ssh=dk.SshOptions(**login, agent=False))
        machine.remove()
    finally:
        agent.kill()
        agent.wait()


def test_a_node_that_dies_in_the_middle_of_an_up(tmp_path: Path, image: str) -> None:
    endpoint, place = lab("DOCKERKIT_LAB_ENGINE"), str(tmp_path / "machine")
    cluster = dk.Cluster.local(f"dkpyd{os.getpid()}", nodes=3, endpoint=endpoint, path=place)
    try:
        cluster.push_image(image, source=dk.Engine.connect(endpoint))
        stack = stack_of(cluster, image)
        leader = cluster.health().leader
        victim = next(m for m in reversed(cluster.machines) if m.name != leader)
        timer = threading.Timer(0.9, victim.kill)
        timer.start()
        with suppress(dk.errors.Unreachable, dk.errors.Timeout, dk.errors.Unhealthy):
            stack.up(wait=True, timeout=90)
        timer.join()
        stack.up(wait=True)
        assert stack.plan().is_empty
        assert {t.service for t in stack.ps() if t.state == "running" and t.node != victim.name} == {"duo_web", "duo_api"}
    finally:
        cluster.destroy()
    assert not Path(place).exists()
