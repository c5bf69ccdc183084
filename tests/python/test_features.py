"""What `docs/features.md` says of the engine's calls, row by row, on each engine of the lab, from Python."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import socketserver
import threading
import time
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import dockerkit as dk
import pytest
from conftest import Handler, SlowServer, lab, served
from dockerkit import aio

KEY = "dk.features"


def test_containers_live_from_create_to_prune(engine: dk.Engine, image: str, name: str) -> None:
    own = {"label": [f"{KEY}={name}"]}
    made = engine.containers.create(image, ["sh", "-c", "trap 'exit 3' TERM; while true; do sleep 0.05; done"], name=name, labels={KEY: name})
    made.start()
    made.pause()
    assert made.inspect().status == "paused"
    with pytest.raises(dk.errors.Conflict):
        made.pause()
    made.unpause()
    made.restart(timeout=5)
    made.rename(f"{name}-other")
    made.update(memory="64m", memory_swap=64 << 20)
    assert engine.containers.get(f"{name}-other").inspect().raw["HostConfig"]["Memory"] == 64 << 20
    made.stop(timeout=5)
    assert made.wait().exit_code == 3
    with pytest.raises(dk.errors.Conflict):
        made.kill()
    assert len(engine.containers.prune(filters=own).removed) == 1
    with pytest.raises(dk.errors.NotFound):
        made.start()


def test_a_run_pulls_what_is_missing(engine: dk.Engine, image: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, user, password = lab("DOCKERKIT_LAB_REGISTRY"), lab("DOCKERKIT_LAB_REGISTRY_USER"), lab("DOCKERKIT_LAB_REGISTRY_PASSWORD")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"auths": {place: {"auth": b64encode(f"{user}:{password}".encode()).decode()}}}))
    reference = f"{place}/lab/{name}:1"
    engine.images.tag(image, reference)
    seen: list[dk.Event] = []
    engine.images.push(reference, on_event=seen.append)
    assert {"layer"} <= {e.resource.kind for e in seen}
    engine.images.remove(reference)
    with pytest.raises(dk.errors.NotFound):
        engine.containers.run(reference, ["true"])
    seen.clear()
    made = engine.containers.run(reference, ["sh", "-c", "exit 9"], pull=True, on_event=seen.append)
    assert made.wait().exit_code == 9
    assert "pull" in {e.action for e in seen}
    made.remove()
    # An error in an answer of 200.
    with pytest.raises(dk.errors.NotFound):
        engine.images.pull(f"{place}/lab/{name}:none")
    engine.images.remove(reference)
    with pytest.raises(dk.errors.Unreachable):
        engine.images.pull("127.0.0.1:1/nothing:1")


def test_commands_are_talked_with(engine: dk.Engine, image: str, name: str) -> None:
    main = engine.containers.run(image, ["sh", "-c", "read x; echo heard $x; exit 4"], name=name, stdin_open=True)
    held = engine.containers.run(image, ["sleep", "600"])
    try:
        session = main.attach()
        session.write(b"me\n")
        chunk = session.read()
        assert chunk is not None
        assert chunk.data == b"heard me\n"
        assert session.wait() == 4
        session = held.exec_session(["sh", "-c", "sort; exit 6"])
        session.write(b"b\na\n")
        session.close_stdin()
        text = b""
        while (chunk := session.read()) is not None:
            text += chunk.data
        assert (text, session.wait()) == (b"a\nb\n", 6)
        screen = held.exec_session(["sh", "-c", "read x; stty size; exit 2"], tty=True)
        screen.resize(101, 37)
        screen.write(b"go\n")
        text = b""
        while (chunk := screen.read()) is not None:
            assert chunk.stream == "console"
            text += chunk.data
        assert b"37 101" in text
        assert screen.wait() == 2
    finally:
        main.remove(force=True)
        held.remove(force=True)


def test_changes_are_listed_and_committed(engine: dk.Engine, image: str, name: str) -> None:
    made = engine.containers.run(image, ["sh", "-c", "echo new >/new; rm /etc/passwd"])
    made.wait()
    assert {c.path: c.kind for c in made.diff()}.items() >= {"/new": "added", "/etc/passwd": "deleted"}.items()
    made.commit(tag=f"{name}:1", comment="why", changes=['CMD ["cat", "/new"]'])
    made.remove()
    assert engine.images.get(f"{name}:1").raw["Comment"] == "why"
    assert engine.containers.run_output(f"{name}:1").stdout == b"new\n"
    engine.images.remove(f"{name}:1")


def test_images_are_kept_and_moved(engine: dk.Engine, image: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nLABEL {KEY}={name}\n")
    own = {"label": [f"{KEY}={name}"]}
    made = engine.images.build(tmp_path, tags=[f"{name}:1"], builder="classic")
    assert [i.id for i in engine.images.list(filters=own)] == [made.id]
    assert engine.images.history(f"{name}:1")
    saved = b"".join(engine.images.save([f"{name}:1"]))
    engine.images.remove(f"{name}:1")
    with pytest.raises(dk.errors.NotFound):
        engine.images.get(f"{name}:1")
    assert engine.images.load(data=saved).images == [f"{name}:1"]
    assert engine.images.get(f"{name}:1").id == made.id
    assert engine.images.prune(filters={**own, "dangling": ["false"]}).removed
    with pytest.raises(dk.DockerkitError):
        engine.images.load(data=b"no archive")


@pytest.mark.parametrize("builder", ["classic", "buildkit"])
def test_builds_take_arguments_targets_platforms_and_caches(engine: dk.Engine, image: str, name: str, tmp_path: Path, builder: dk.Builder) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {image} AS first\nARG WORD=none\nRUN echo $WORD {name} >/word\nFROM first\nRUN rm /word\n")
    own = engine.images.get(image).raw

    def build(no_cache: bool = False) -> dk.Image:
        platform = f"{own['Os']}/{own['Architecture']}"
        given = {"WORD": "given"}
        return engine.images.build(tmp_path, tags=[f"{name}:1"], builder=builder, args=given, target="first", platform=platform, no_cache=no_cache)

    first = build(no_cache=True)
    assert engine.containers.run_output(f"{name}:1", ["cat", "/word"]).stdout == f"given {name}\n".encode()
    assert build().id == first.id
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nRUN exit 7\n")
    with pytest.raises(dk.errors.CommandFailed) as caught:
        engine.images.build(tmp_path, builder=builder)
    assert caught.value.context["exit_code"] == "7"
    engine.images.remove(f"{name}:1", force=True)


def test_networks_volumes_and_events(engine: dk.Engine, image: str, name: str) -> None:
    own = {"label": [f"{KEY}={name}"]}
    with engine.events(filters={"type": ["network"]}) as events:
        network = engine.networks.create(name, labels={KEY: name}, internal=True)
        volume = engine.volumes.create(name, labels={KEY: name})
        one = engine.containers.run(image, ["sleep", "600"], network=name)
        engine.networks.disconnect(name, one.id)
        engine.networks.connect(name, one.id, aliases=["pal"])
        one.remove(force=True)
        assert [n.id for n in engine.networks.list(filters=own)] == [network.id]
        assert engine.networks.prune(filters=own).removed == [name]
        assert [v.mountpoint for v in engine.volumes.list(filters=own)] == [volume.mountpoint]
        engine.volumes.remove(name)
        with pytest.raises(dk.errors.NotFound):
            engine.volumes.get(name)
        engine.volumes.create(name, labels={KEY: name})
        # Newer engines take those with a name only when they are told to.
        all_ = {} if engine.version().version.startswith("20.10") else {"all": ["true"]}
        assert engine.volumes.prune(filters=own | all_).removed == [name]
        seen = set()
        for event in events:
            if event.id == network.id:
                seen.add(event.action)
            if seen >= {"create", "connect", "disconnect", "destroy"}:
                break
    assert engine.disk_usage().layers > 0
    assert engine.request("GET", "/version").json["Version"] == engine.version().version


def test_a_version_is_agreed_on(engine: dk.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_API_VERSION", "1.41")
    assert dk.Engine.connect(engine.endpoint).api_version == "1.41"
    for wrong in ("1.99", "1.12"):
        with pytest.raises(dk.errors.Unsupported):
            dk.Engine.connect(engine.endpoint, api_version=wrong)


class CountingServer(SlowServer):
    """Counts its connections."""

    accepted = 0

    def process_request(self, request: object, client_address: object) -> None:
        self.accepted += 1
        socketserver.ThreadingMixIn.process_request(self, request, client_address)  # type: ignore[arg-type]


def test_connections_are_used_again(tmp_path: Path) -> None:
    with served(CountingServer(str(tmp_path / "s"), Handler)) as server:
        assert isinstance(server, CountingServer)
        with dk.Engine.connect(server.endpoint) as engine:
            for _ in range(30):
                engine.version()
            assert server.accepted == 1


class SearchHandler(Handler):
    """Finds one image."""

    def do_GET(self) -> None:
        if "/images/search?" not in self.path:
            super().do_GET()
            return
        assert "limit=3" in self.path
        body = b'[{"name": "busy", "description": "d", "star_count": 7, "is_official": true}]'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET


def test_images_are_searched_for(tmp_path: Path) -> None:
    with served(SlowServer(str(tmp_path / "s"), SearchHandler)) as server, dk.Engine.connect(server.endpoint) as engine:
        assert [(i.name, i.stars, i.official) for i in engine.images.search("busy", limit=3)] == [("busy", 7, True)]


class ClosingHandler(Handler):
    """Closes its connection after each answer, without a word."""

    def do_GET(self) -> None:
        super().do_GET()
        self.close_connection = True


def test_requests_that_are_safe_are_made_again(tmp_path: Path) -> None:
    with served(CountingServer(str(tmp_path / "s"), ClosingHandler)) as server, dk.Engine.connect(server.endpoint) as engine:
        for _ in range(30):
            assert engine.version().version == "99.0"


def test_the_engine_is_reached_by_tcp(engine: dk.Engine, image: str) -> None:
    socket_path = str(engine.endpoint).removeprefix("unix://")
    came: list[object] = []
    gone: list[object] = []

    class Way(socketserver.BaseRequestHandler):
        """Leads to the engine's socket, and ends each direction by itself."""

        def handle(self) -> None:
            came.append(self.client_address)
            with socket.socket(socket.AF_UNIX) as other:
                other.connect(socket_path)
                back = threading.Thread(target=self.move, args=(other, self.request))
                back.start()
                self.move(self.request, other)
                back.join()
            gone.append(self.client_address)

        @staticmethod
        def move(source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Way) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with dk.Engine.connect(f"tcp://127.0.0.1:{server.server_address[1]}") as other:
                assert other.info().id == engine.info().id
                for _ in range(20):
                    other.containers.list()
                assert len(came) == 1
                held = other.containers.run(image, ["sleep", "600"])
                session = held.exec_session(["sh", "-c", "sort; exit 6"])
                session.write(b"b\na\n")
                session.close_stdin()
                said = b""
                while chunk := session.read():
                    said += chunk.data
                assert (said, session.wait()) == (b"a\nb\n", 6)
                held.remove(force=True)
            # What came from a closed engine keeps no connection, and makes one when it is used.
            deadline = time.monotonic() + 10
            while len(gone) < len(came) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert sorted(map(str, gone)) == sorted(map(str, came))
            with pytest.raises(dk.errors.NotFound):
                held.reload()
        finally:
            server.shutdown()
            thread.join()


def test_ten_thousand_lines_keep_their_order(engine: dk.Engine, image: str) -> None:
    # Docker 20.10 itself loses the last lines for who follows a container that ends at the same moment.
    made = engine.containers.run(image, ["sh", "-c", "seq 10000; sleep 1"])
    wanted = b"".join(b"%d\n" % n for n in range(1, 10001))
    assert b"".join(chunk.data for chunk in made.logs(follow=True)) == wanted
    made.remove()


def test_a_stream_is_the_process_s_that_began_it(engine: dk.Engine, image: str, name: str) -> None:
    async def work() -> None:
        async with await aio.Engine.connect(engine.endpoint) as other:
            watched = other.events(filters={"container": [name]})
            waiting = asyncio.create_task(watched.__anext__())
            await asyncio.sleep(0.3)
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    with suppress(StopIteration):
                        watched.close().send(None)
                    with pytest.raises(dk.errors.InvalidInput, match=r"stream\.next: .*fork of"):
                        next(blocking)
                    blocking.close()
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(pid, 0)[1] == 0
            made = await other.containers.create(image, ["true"], name=name)
            assert (await asyncio.wait_for(waiting, 10)).action == "create"
            assert next(blocking).action == "create"
            await made.remove()
            await watched.close()

    blocking = engine.events(filters={"container": [name]})
    asyncio.run(work())
    blocking.close()


def test_both_forms_do_the_same(engine: dk.Engine, image: str, name: str) -> None:
    async def work() -> list[bytes]:
        async with await aio.Engine.connect(engine.endpoint) as other:
            begin = time.monotonic()
            done = await asyncio.gather(*(other.containers.run_output(image, ["echo", str(n)]) for n in range(4)))
            assert time.monotonic() - begin < 30
            return [d.stdout for d in done]

    results: dict[int, bytes] = {}
    threads = [threading.Thread(target=lambda n=n: results.update({n: engine.containers.run_output(image, ["echo", str(n)]).stdout})) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[n] for n in range(4)] == asyncio.run(work()) == [b"0\n", b"1\n", b"2\n", b"3\n"]
