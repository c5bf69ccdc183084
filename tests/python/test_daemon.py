"""A real engine of the test's own that is killed, held, or behind TLS, and a reader that stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dockerkit as dk
import pytest
from conftest import lab
from daemon import Daemon, programs
from dockerkit import aio

SLEEP = ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]


@pytest.fixture(scope="module", params=programs())
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """One engine for all tests of this file; each leaves it running."""
    # A skip comes before there is anything to stop.
    engine, image = lab("DOCKERKIT_LAB_ENGINE"), lab("DOCKERKIT_LAB_IMAGE")
    made = Daemon(request.param)
    try:
        made.image(engine, image)
        yield made
    finally:
        made.close()


def test_a_held_engine_is_given_up_in_time(daemon: Daemon, image: str) -> None:
    # What is not held may take longer on a busy machine.
    container = dk.Engine.connect(daemon.endpoint).containers.run(image, SLEEP)
    engine = dk.Engine.connect(daemon.endpoint, timeout=1)
    calls: list[tuple[float, Callable[[], Any]]] = [
        (0.5, lambda: container.wait(deadline=0.5)),
        (0.5, lambda: container.exec(["true"], deadline=0.5)),
        (1, engine.info),
        (1, lambda: engine.containers.create(image, ["true"])),
        (1, lambda: dk.Engine.connect(daemon.endpoint, timeout=1)),
    ]
    daemon.signal(signal.SIGSTOP)
    try:
        for wanted, call in calls:
            begin = time.monotonic()
            with pytest.raises(dk.errors.Timeout):
                call()
            assert wanted - 0.05 < time.monotonic() - begin < wanted + 1
    finally:
        daemon.signal(signal.SIGCONT)
    container.remove(force=True)


def test_calls_end_when_the_engine_is_killed(daemon: Daemon, image: str) -> None:
    engine = dk.Engine.connect(daemon.endpoint)
    container = engine.containers.run(image, ["sh", "-c", "trap 'exit 0' TERM; while true; do echo tick; sleep 0.1; done"])
    found: dict[str, BaseException] = {}

    def follow(name: str, work: Callable[[], Any]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as e:
                found[name] = e

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    async def both() -> None:
        async with await aio.Engine.connect(daemon.endpoint) as other:
            own = await other.containers.get(container.id)
            results = await asyncio.gather(own.wait(), own.exec(["sleep", "60"]), return_exceptions=True)
            for name, result in zip(("async wait", "async exec"), results, strict=True):
                assert isinstance(result, BaseException)
                found[name] = result

    threads = [
        follow("events", lambda: list(engine.events())),
        follow("logs", lambda: list(container.logs(follow=True))),
        follow("wait", container.wait),
        follow("exec", lambda: container.exec(["sleep", "60"])),
        follow("session", lambda: container.exec_session(["cat"]).wait()),
        follow("both", lambda: asyncio.run(both())),
    ]
    time.sleep(0.7)
    begin = time.monotonic()
    daemon.kill()
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - begin < 5
    assert {name: type(e) for name, e in found.items()} == dict.fromkeys(
        ["events", "logs", "wait", "exec", "session", "async wait", "async exec"], dk.errors.Unreachable
    )
    daemon.restart()
    container.start()
    assert container.exec(["echo", "again"]).stdout == b"again\n"
    container.remove(force=True)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_reader_that_stops_holds_the_engine_and_not_memory(daemon: Daemon, image: str) -> None:
    engine = dk.Engine.connect(daemon.endpoint)
    container = engine.containers.run(image, ["sh", "-c", "head -c 268435456 /dev/zero | tr '\\0' x"])
    container.wait(deadline=120)

    def read() -> int:
        text = Path(f"/proc/{daemon.process.pid}/io").read_text()
        return int(text.split("rchar: ")[1].split()[0])

    with container.logs() as logs:
        size = 0
        while size < 8 << 20:
            size += len(next(logs).data)
        time.sleep(2)
        memory, done = resident(), read()
        time.sleep(1.5)
        assert resident() - memory < 4 << 20
        assert read() - done < 4 << 20
        while size < 64 << 20:
            size += len(next(logs).data)
        assert resident() - memory < 24 << 20
    container.remove(force=True)


def big_image(endpoint: str, image: str, folder: Path) -> tuple[bytes, str, dk.RegistryAuth]:
    """An image of some megabytes, made by another engine: as an archive, and its name in a registry, with the login."""
    place = lab("DOCKERKIT_LAB_REGISTRY")
    auth = dk.RegistryAuth(username=lab("DOCKERKIT_LAB_REGISTRY_USER"), password=lab("DOCKERKIT_LAB_REGISTRY_PASSWORD"))
    reference = f"{place}/lab/dk-py-{os.urandom(5).hex()}:1"
    (folder / "big").write_bytes(os.urandom(6 << 20))
    with dk.Engine.connect(endpoint) as other:
        other.images.build(folder, dockerfile_inline=f"FROM {image}\nCOPY big /\n", tags=[reference])
        archive = b"".join(other.images.save([reference]))
        other.images.push(reference, auth=auth)
        other.images.remove(reference)
    return archive, reference, auth


@pytest.mark.parametrize("program", programs())
def test_a_full_disk_is_told(program: str, image: str, tmp_path: Path) -> None:
    endpoint = lab("DOCKERKIT_LAB_ENGINE")
    archive, reference, auth = big_image(endpoint, image, tmp_path)
    context = tmp_path / "context"
    context.mkdir()
    (context / "small").write_text("x")
    text = f"FROM {image}\nRUN dd if=/dev/urandom of=/big bs=1M count=6\n"
    daemon = Daemon(program, disk="64m")
    try:
        daemon.image(endpoint, image)
        engine = dk.Engine.connect(daemon.endpoint)
        calls: list[tuple[str, type[dk.DockerkitError], Callable[[], Any]]] = [
            ("classic", dk.errors.CommandFailed, lambda: engine.images.build(context, dockerfile_inline=text, builder="classic", no_cache=True)),
            ("buildkit", dk.errors.CommandFailed, lambda: engine.images.build(context, dockerfile_inline=text, builder="buildkit", no_cache=True)),
            ("load", dk.errors.EngineError, lambda: engine.images.load(data=archive)),
            ("pull", dk.errors.EngineError, lambda: engine.images.pull(reference, auth=auth)),
            ("create", dk.errors.EngineError, lambda: engine.containers.create(image, ["true"])),
        ]

        def there() -> list[set[str]]:
            return [{i.id for i in engine.images.list()}, {c.id for c in engine.containers.list(all=True)}]

        before = there()
        for what, kind, call in calls:
            filler = daemon.fill(0 if what == "create" else 2 << 20)
            with pytest.raises(kind) as caught:
                call()
            said = f"{caught.value} {caught.value.context}".lower()
            assert (type(caught.value), "no space left" in said) == (kind, True), f"{what}: {said}"
            if what == "classic":
                # It leaves the container of the step that failed.
                engine.containers.prune()
            assert there() == before, what
            filler.unlink()
        # With space again, the same calls do their work.
        for _, _, call in calls:
            call()
            engine.containers.prune()
            engine.images.prune(filters={"dangling": ["false"]})
            daemon.image(endpoint, image)
        assert engine.containers.run_output(image, ["echo", "well"]).stdout == b"well\n"
    finally:
        daemon.close()


def test_who_may_not_reach_the_engine_is_told(daemon: Daemon) -> None:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            dk.Engine.connect(daemon.endpoint)
        except dk.errors.Forbidden:
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    with pytest.raises(dk.errors.Unreachable):
        dk.Engine.connect(f"unix://{daemon.folder}/log")


def certificates(folder: Path) -> None:
    """A CA, the engine's certificate, the client's, and another CA."""
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for ca in ("ca", "other"):
        own = ["-x509", "-days", "9", "-subj", "/CN=ca", "-keyout", f"{ca}-key.pem", "-out", f"{ca}.pem"]
        subprocess.run([*new, *own], cwd=folder, check=True, capture_output=True)
    for name, key in (("server", "server-key.pem"), ("cert", "key.pem")):
        subprocess.run([*new, "-subj", "/CN=x", "-keyout", key, "-out", f"{name}.csr"], cwd=folder, check=True, capture_output=True)
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        sign = ["openssl", "x509", "-req", "-days", "9", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial"]
        subprocess.run([*sign, "-extfile", "names", "-out", f"{name}.pem"], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("program", programs())
def test_an_engine_behind_tls_is_found_in_each_way(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    keys = [f"--tlscacert={tmp_path}/ca.pem", f"--tlscert={tmp_path}/server.pem", f"--tlskey={tmp_path}/server-key.pem"]
    daemon = Daemon(program, f"--host={place}", "--tlsverify", *keys)
    try:
        cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"

        def files(ca: str = "ca.pem", server_name: str | None = None) -> dk.TlsOptions:
            return dk.TlsOptions(ca_file=tmp_path / ca, cert_file=cert_file, key_file=key_file, server_name=server_name)

        ca, cert, key = ((tmp_path / f"{n}.pem").read_text() for n in ("ca", "cert", "key"))
        memory = dk.TlsOptions(ca=ca, cert=cert, key=key)
        for tls in (files(), memory):
            assert dk.Engine.connect(place, tls=tls).info().id
            assert "PRIVATE" not in repr(tls)
        wrong: list[tuple[dk.TlsOptions, type[dk.DockerkitError]]] = [
            (files("other.pem"), dk.errors.Untrusted),
            (files(server_name="elsewhere.test"), dk.errors.Untrusted),
            (dk.TlsOptions(ca_file=tmp_path / "ca.pem"), dk.errors.Unauthorized),
        ]
        for tls, error in wrong:
            with pytest.raises(error):
                dk.Engine.connect(place, tls=tls)
        for name in ("DOCKER_CONTEXT", "DOCKER_API_VERSION"):
            monkeypatch.delenv(name, raising=False)
        config = tmp_path / "config"
        monkeypatch.setenv("DOCKER_CONFIG", str(config))
        with monkeypatch.context() as set_:
            for name, value in (("DOCKER_HOST", place), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", str(tmp_path)), ("DOCKER_API_VERSION", "1.41")):
                set_.setenv(name, value)
            engine = dk.Engine.connect()
            assert (engine.source, engine.api_version, bool(engine.info().id)) == ("DOCKER_HOST", "1.41", True)
            set_.setenv("DOCKER_API_VERSION", "1.99")
            with pytest.raises(dk.errors.Unsupported, match=r"1\.99"):
                dk.Engine.connect()
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        dk.Engine.create_context("ours", place, tls=memory)
        assert dk.Engine.connect(context="ours").info().id
        parts = ",".join([f"host={place}", *(f"{n}={tmp_path}/{n}.pem" for n in ("ca", "cert", "key"))])
        subprocess.run(["docker", "context", "create", "theirs", "--docker", parts], check=True, capture_output=True)
        subprocess.run(["docker", "--context", "ours", "version"], check=True, capture_output=True)
        (config / "config.json").write_text(json.dumps({"currentContext": "theirs"}))
        assert dk.Engine.connect().source == "context theirs"
    finally:
        daemon.close()
