"""How a call ends: its result, its error, Ctrl-C, a cancelled task, a deadline, another thread, a fork."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import dockerkit as dk
import pytest
from conftest import Handler, SlowServer, served
from dockerkit import aio

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 20))


def test_version_and_ping(slow: SlowServer) -> None:
    with dk.Engine.connect(slow.endpoint) as engine:
        assert engine.endpoint == slow.endpoint
        assert engine.api_version == "1.43"
        version = engine.version()
        assert (version.version, version.os) == ("99.0", "linux")
        assert version.to_dict()["arch"] == "amd64"
        assert "version='99.0'" in repr(version)
        assert engine.ping().api_version == "1.43"
    with pytest.raises(dk.errors.InvalidInput, match="closed"):
        engine.ping()


def test_version_asyncio(slow: SlowServer) -> None:
    async def work() -> tuple[str, str]:
        async with await aio.Engine.connect(slow.endpoint) as engine:
            ping, version = await asyncio.gather(engine.ping(), engine.version())
            return ping.api_version, version.version

    assert run(work()) == ("1.43", "99.0")


def test_calls_one_after_the_other_leave_the_loop_to_others(slow: SlowServer) -> None:
    async def work() -> int:
        engine = await aio.Engine.connect(slow.endpoint)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.create_task(other())
        for _ in range(200):
            assert (await engine.ping()).api_version == "1.43"
        task.cancel()
        return turns

    assert run(work()) >= 200


def test_unreachable_engine(tmp_path: Path) -> None:
    with pytest.raises(dk.errors.Unreachable) as caught:
        dk.Engine.connect(f"unix://{tmp_path}/none.sock")
    error = caught.value
    assert isinstance(error, ConnectionError)
    assert isinstance(error, dk.DockerkitError)
    assert (error.kind, error.operation, error.retryable) == ("unreachable", "engine.connect", True)
    assert error.hint
    assert pickle.loads(pickle.dumps(error)).hint == error.hint


def test_wrong_endpoint() -> None:
    with pytest.raises(dk.errors.InvalidInput, match="is not an endpoint"):
        dk.Engine.connect("nonsense")


def test_an_engine_that_is_too_old(old: SlowServer) -> None:
    with pytest.raises(dk.errors.Unsupported, match=r"1\.40") as caught:
        dk.Engine.connect(old.endpoint)
    assert caught.value.hint


def test_unknown_context_names_known_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(dk.errors.NotFound) as caught:
        dk.Engine.connect(context="prod")
    assert caught.value.context["context"] == "prod"
    assert "default" in (caught.value.hint or "")


def test_unknown_option_names_the_nearest(slow: SlowServer) -> None:
    engine = dk.Engine.connect(slow.endpoint)
    options: dict[str, Any] = {"filter": {"status": ["exited"]}}
    with pytest.raises(dk.errors.InvalidInput, match="did you mean `filters`") as caught:
        engine.containers.list(**options)
    assert caught.value.context["nearest"] == "filters"
    with pytest.raises(dk.errors.InvalidInput, match="did you mean `user`"):
        dk.SshOptions(usr="me")  # type: ignore[call-arg]


def test_wrong_type_names_the_option(slow: SlowServer) -> None:
    engine = dk.Engine.connect(slow.endpoint)
    with pytest.raises(dk.errors.InvalidInput, match=r"`all`: .*boolean") as caught:
        engine.containers.list(limit=3, all="yes")  # type: ignore[arg-type]
    assert caught.value.operation == "engine.containers.list"
    with pytest.raises(dk.errors.InvalidInput, match="cannot be an argument"):
        engine.containers.list(filters=object())  # type: ignore[arg-type]


def test_missing_file(slow: SlowServer, tmp_path: Path) -> None:
    engine = dk.Engine.connect(slow.endpoint)
    with pytest.raises(dk.errors.NotFound, match="none"):
        engine.images.build(tmp_path / "none", tags=["x"])


@pytest.mark.parametrize("deadline", [0.2, timedelta(seconds=0.2)])
def test_deadline(slow: SlowServer, deadline: float | timedelta) -> None:
    engine = dk.Engine.connect(slow.endpoint)
    start = time.monotonic()
    with pytest.raises(dk.errors.Timeout) as caught:
        engine.info(deadline=deadline)
    assert time.monotonic() - start < 1
    assert isinstance(caught.value, TimeoutError)
    with pytest.raises(dk.errors.InvalidInput, match="deadline"):
        engine.info(deadline=-1)


class LateHandler(Handler):
    """Answers `/networks` late, pauses in the middle of `/containers/json`, and before each event."""

    def do_GET(self) -> None:
        path = self.path.split("?", maxsplit=1)[0]
        event = b'{"Type":"container","Action":"die","time":1}\n'
        parts = {"/networks": [b"", b"[]"], "/containers/json": [b"[", b"]"], "/events": [b"", event]}.get(path.removeprefix("/v1.43"))
        if parts is None:
            return super().do_GET()
        if path.endswith("/networks"):
            time.sleep(0.9)
        self.send_response(200)
        self.send_header("Content-Length", str(sum(map(len, parts))))
        self.end_headers()
        for n, part in enumerate(parts):
            time.sleep(0.9 if n and not path.endswith("/networks") else 0)
            self.wfile.write(part)
            self.wfile.flush()
        return None

    do_HEAD = do_GET


def test_each_part_of_a_call_has_a_limit_of_its_own(tmp_path: Path) -> None:
    late = "did not answer within 300ms"
    stopped = "answer stopped for 300ms"
    with served(SlowServer(str(tmp_path / "late.sock"), LateHandler)) as server:
        engine = dk.Engine.connect(server.endpoint, first_byte_timeout=0.3, silence_timeout=20)
        with pytest.raises(dk.errors.Timeout, match=late):
            engine.networks.list()
        assert engine.containers.list() == []
        engine = dk.Engine.connect(server.endpoint, first_byte_timeout=20, silence_timeout=timedelta(seconds=0.3))
        assert engine.networks.list() == []
        with pytest.raises(dk.errors.Timeout, match=stopped):
            engine.containers.list()
        assert next(iter(engine.events())).action == "die"
        engine = dk.Engine.connect(server.endpoint, timeout=0.3)
        for call, says in ((engine.networks.list, late), (engine.containers.list, stopped)):
            with pytest.raises(dk.errors.Timeout, match=says):
                call()

        async def both() -> None:
            async with await aio.Engine.connect(server.endpoint, first_byte_timeout=0.3) as other:
                with pytest.raises(dk.errors.Timeout, match=late):
                    await other.networks.list()
                assert await other.containers.list() == []

        run(both())


def test_connecting_has_a_limit_of_its_own(tmp_path: Path) -> None:
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-x509", "-subj", "/CN=ca"]
    subprocess.run([*new, "-keyout", "key.pem", "-out", "ca.pem"], cwd=tmp_path, check=True, capture_output=True)
    # It takes connections and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(dk.errors.Timeout, match="no connection within 300ms"):
            dk.Engine.connect(place, tls=dk.TlsOptions(ca_file=tmp_path / "ca.pem"), connect_timeout=0.3, timeout=0.1)
        with pytest.raises(dk.errors.Timeout, match="did not answer within 300ms"):
            dk.Engine.connect(place, connect_timeout=20, timeout=0.3)


INTERRUPTED = """
    import os, signal, sys, threading, time
    import dockerkit as dk
    # A background shell leaves the signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    engine = dk.Engine.connect(sys.argv[1])
    def interrupt():
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt).start()
    start = time.monotonic()
    try:
        {call}
    except KeyboardInterrupt:
        print("interrupted", time.monotonic() - start)
        print("again", engine.ping().api_version)
"""


@pytest.mark.parametrize("call", ["engine.info()", "next(engine.events())", "dk.Engine.connect(sys.argv[1]).containers.list()"])
def test_ctrl_c_ends_a_call_at_once(slow: SlowServer, call: str) -> None:
    script = textwrap.dedent(INTERRUPTED).format(call=call)
    done = subprocess.run([sys.executable, "-c", script, slow.endpoint], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.startswith("interrupted"), done.stderr
    assert float(done.stdout.split()[1]) < 1
    assert "again 1.43" in done.stdout
    assert slow.gone.acquire(timeout=2), "the request was not dropped"


def test_cancelling_a_task_drops_the_request(slow: SlowServer) -> None:
    async def work() -> float:
        engine = await aio.Engine.connect(slow.endpoint)
        task = asyncio.create_task(engine.info())
        assert await asyncio.to_thread(slow.waiting.acquire, timeout=5)
        start = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(slow.gone.acquire, timeout=2), "the request was not dropped"
        return time.monotonic() - start

    assert run(work()) < 1


def test_asyncio_timeout(slow: SlowServer) -> None:
    async def work() -> None:
        engine = await aio.Engine.connect(slow.endpoint)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(engine.info(), 0.1)
        events = engine.events()
        for _ in range(2):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(events.__anext__(), 0.1)
        await events.close()

    run(work())


def test_calls_that_are_done_before_anyone_waits(slow: SlowServer) -> None:
    async def work() -> None:
        engine = await aio.Engine.connect(slow.endpoint)
        for _ in range(300):
            with pytest.raises(dk.errors.InvalidInput):
                await engine.images.tag("", "")

    run(work())


def test_the_loop_is_not_blocked(slow: SlowServer) -> None:
    async def work() -> int:
        engine = await aio.Engine.connect(slow.endpoint)
        task = asyncio.create_task(engine.info())
        ticks = 0
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            await asyncio.sleep(0.005)
            ticks += 1
        task.cancel()
        return ticks

    assert run(work()) > 10


def test_other_threads_run_while_one_waits(slow: SlowServer) -> None:
    engine = dk.Engine.connect(slow.endpoint)
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(dk.errors.Timeout):
            engine.info(deadline=1.0)
        ended.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert slow.waiting.acquire(timeout=5)
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(engine.version().version)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert results == ["99.0"] * 16
    assert not ended.is_set()
    waiting.join()


def child(engine: dk.Engine, result: Any) -> None:
    result.put(engine.version().version)


def test_an_engine_works_in_a_forked_child(slow: SlowServer) -> None:
    engine = dk.Engine.connect(slow.endpoint)
    assert engine.version().version == "99.0"
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    for _ in range(3):
        process = context.Process(target=child, args=(engine, results))
        process.start()
        assert results.get(timeout=10) == "99.0"
        process.join(5)
        assert process.exitcode == 0
    assert engine.version().version == "99.0"


def test_a_child_that_forks_while_a_call_runs_works(slow: SlowServer) -> None:
    engine = dk.Engine.connect(slow.endpoint)

    def wait() -> None:
        with pytest.raises(dk.errors.Timeout):
            engine.info(deadline=1.5)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert slow.waiting.acquire(timeout=5)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if dk.Engine.connect(slow.endpoint).version().version == "99.0" else 2
        finally:
            os._exit(code)
    end = time.monotonic() + 10
    status = None
    while status is None and time.monotonic() < end:
        done, code = os.waitpid(pid, os.WNOHANG)
        status = code if done else None
        time.sleep(0.02)
    if status is None:
        os.kill(pid, signal.SIGKILL)
    assert status == 0
    waiting.join()


def test_a_listener_must_be_callable(slow: SlowServer) -> None:
    engine = dk.Engine.connect(slow.endpoint)
    with pytest.raises(dk.errors.InvalidInput, match="on_event"):
        engine.ping(on_event="print")  # type: ignore[arg-type]


def test_models_are_data(slow: SlowServer) -> None:
    login = dk.SshOptions(user="me", password="hunter2")
    assert "hunter2" not in repr(login) + repr(dk.RegistryAuth(username="me", password="hunter2", identity_token="hunter2"))
    assert login.password == "hunter2"
    options = dk.SshOptions(user="me", port=22)
    assert options.to_dict() == {"user": "me", "port": 22}
    assert options == dk.SshOptions(port=22, user="me") != dk.SshOptions(user="you")
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(AttributeError):
        options.user = "you"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        _ = options.nothing  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(dk.Engine.connect(slow.endpoint))
