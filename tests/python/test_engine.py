"""A real engine: containers, streams, bytes and archives, from Python."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import dockerkit as dk
import pytest
from dockerkit import aio


@pytest.fixture
def container(engine: dk.Engine, image: str, name: str) -> Iterator[dk.Container]:
    made = engine.containers.run(image, ["sleep", "600"], name=name, labels={"dockerkit.test": name})
    yield made
    made.remove(force=True)


def test_engine_says_what_it_is(engine: dk.Engine, endpoint: str) -> None:
    version = engine.version()
    assert version.version.split(".")[0].isdigit()
    assert engine.ping().api_version == version.api_version
    assert engine.endpoint == endpoint
    assert engine.info().to_dict()


def test_output_of_a_command(engine: dk.Engine, image: str) -> None:
    done = engine.containers.run_output(image, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


def test_container_is_found_by_its_label(engine: dk.Engine, container: dk.Container, name: str) -> None:
    found = engine.containers.list(filters={"label": [f"dockerkit.test={name}"]})
    assert [c.id for c in found] == [container.id]
    assert found[0].labels["dockerkit.test"] == name
    assert engine.containers.get(name).id == container.id


def test_exec_with_input(container: dk.Container) -> None:
    done = container.exec(["cat"], stdin=b"\x00binary\xff")
    assert (done.exit_code, done.stdout) == (0, b"\x00binary\xff")


def test_name_that_exists(engine: dk.Engine, container: dk.Container, image: str, name: str) -> None:
    with pytest.raises(dk.errors.AlreadyExists) as caught:
        engine.containers.create(image, ["true"], name=name)
    assert caught.value.operation == "containers.create"


def test_container_that_is_not_there(engine: dk.Engine, name: str) -> None:
    with pytest.raises(dk.errors.NotFound):
        engine.containers.get(name)


def test_logs_are_a_stream(engine: dk.Engine, image: str, name: str) -> None:
    container = engine.containers.run(image, ["sh", "-c", "for i in 1 2 3; do echo line $i; done; sleep 600"], name=name)
    try:
        seen = b""
        with container.logs(follow=True) as logs:
            for chunk in logs:
                assert chunk.stream == "stdout"
                seen += chunk.data
                if seen.count(b"\n") == 3:
                    break
        assert seen == b"line 1\nline 2\nline 3\n"
    finally:
        container.remove(force=True)


def test_logs_are_an_asynchronous_stream(endpoint: str, image: str, name: str) -> None:
    async def work() -> bytes:
        async with await aio.Engine.connect(endpoint) as engine:
            container = await engine.containers.run(image, ["sh", "-c", "echo one; echo two; sleep 600"], name=name)
            seen = b""
            try:
                async for chunk in container.logs(follow=True):
                    seen += chunk.data
                    if seen.count(b"\n") == 2:
                        break
            finally:
                await container.remove(force=True)
            return seen

    assert asyncio.run(asyncio.wait_for(work(), 30)) == b"one\ntwo\n"


def test_asynchronous_streams_end(endpoint: str, image: str, name: str) -> None:
    async def work() -> None:
        async with await aio.Engine.connect(endpoint) as engine:
            container = await engine.containers.run(image, ["sh", "-c", "yes | head -n 20000; head -c 3000000 /dev/zero >/big"], name=name)
            try:
                await container.wait()
                seen = b"".join([chunk.data async for chunk in container.logs()])
                assert seen == b"y\n" * 20000
                assert sum([len(part) async for part in container.get_archive("/big")]) > 3000000
                assert [change async for change in engine.events(since="1", until="2")] == []
            finally:
                await container.remove(force=True)

    asyncio.run(asyncio.wait_for(work(), 30))


def test_files_go_in_and_out(container: dk.Container, tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("hello\n")
    container.copy_to(source, "/tmp/")
    assert container.exec(["cat", "/tmp/source.txt"]).stdout == b"hello\n"
    container.copy_from("/tmp/source.txt", tmp_path / "back")
    back = tmp_path / "back"
    assert (back / "source.txt" if back.is_dir() else back).read_text() == "hello\n"


def test_image_is_made_from_a_tar(engine: dk.Engine, name: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("hello.txt")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"hi\n"))
    made = engine.images.import_(f"{name}:1", data=buffer.getvalue())
    try:
        assert f"{name}:1" in engine.images.get(f"{name}:1").tags
        assert made
    finally:
        engine.images.remove(f"{name}:1")


def test_a_session_is_written_to_and_read(container: dk.Container) -> None:
    session = container.exec_session(["cat"])
    session.write(b"ping\n")
    chunk = session.read()
    assert chunk is not None
    assert chunk.data == b"ping\n"
    session.close_stdin()
    while session.read() is not None:
        pass
    assert session.wait() == 0


def test_building_an_image_reports_progress(engine: dk.Engine, image: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nRUN echo built > /built\n")
    events: list[dk.Event] = []
    built = engine.images.build(tmp_path, tags=[f"{name}:1"], on_event=events.append)
    try:
        assert built
        assert events
        assert {"done"} <= {event.status for event in events}
        assert all(str(event) for event in events)
    finally:
        engine.images.remove(f"{name}:1", force=True)


class StopError(Exception):
    """Raised by a listener."""


def stop(event: dk.Event) -> None:
    raise StopError(str(event))


def test_a_listener_that_raises_ends_the_call(engine: dk.Engine, image: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nRUN sleep 30\n")
    with pytest.raises(StopError):
        engine.images.build(tmp_path, tags=[f"{name}:1"], on_event=stop)

    async def work() -> None:
        async with await aio.Engine.connect(engine.endpoint) as other:
            await other.images.build(tmp_path, tags=[f"{name}:1"], on_event=stop)

    with pytest.raises(StopError):
        asyncio.run(asyncio.wait_for(work(), 20))


def test_moments_are_datetimes(engine: dk.Engine, container: dk.Container, image: str, name: str) -> None:
    details = container.inspect()
    assert details.created.tzinfo is not None
    assert details.started_at is not None
    assert details.started_at >= details.created
    assert details.finished_at is None
    assert abs(datetime.now(timezone.utc) - details.created) < timedelta(minutes=5)
    assert engine.images.history(image)[0].created.year > 2000
    for since in (details.created - timedelta(seconds=1), (details.created - timedelta(seconds=1)).timestamp(), "10m"):
        until = datetime.now(timezone.utc) + timedelta(seconds=1)
        seen = list(engine.events(since=since, until=until, filters={"container": [name]}))
        assert "start" in {event.action for event in seen}
        assert all(event.time >= details.created - timedelta(seconds=1) for event in seen)
    own = {"container": [name]}
    assert list(engine.events(since=details.created - timedelta(hours=2), until=details.created - timedelta(hours=1), filters=own)) == []
    with pytest.raises(dk.errors.InvalidInput, match="yesterday"):
        list(container.logs(since="yesterday"))
