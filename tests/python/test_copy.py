"""Copies in and out of containers, and options of the engine's calls, from Python."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dockerkit as dk
import pytest
from conftest import lab


@pytest.fixture
def container(engine: dk.Engine, image: str, name: str) -> Iterator[dk.Container]:
    made = engine.containers.run(image, ["sleep", "600"], name=name)
    yield made
    made.remove(force=True)


def says(container: dk.Container, script: str) -> str:
    done = container.exec(["sh", "-c", script])
    assert done.exit_code == 0, done.stderr
    return done.stdout.decode().strip()


def test_copies_go_by_the_rules_of_docker_cp(container: dk.Container, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "file").write_text("kept")
    (source / "link").symlink_to("sub/file")
    container.copy_to(source, "/in")
    container.copy_to(f"{source}/.", "/tmp")
    container.copy_to(source / "link", "/followed", follow_link=True)
    assert says(container, "cat /in/sub/file /tmp/sub/file /followed; readlink /in/link") == "keptkeptkeptsub/file"
    container.copy_from("/in", tmp_path / "out")
    container.copy_from("/in/link", tmp_path / "target", follow_link=True)
    assert (tmp_path / "out" / "sub" / "file").read_text() == (tmp_path / "target").read_text() == "kept"
    assert os.readlink(tmp_path / "out" / "link") == "sub/file"
    says(container, "chown -R 12:34 /in")
    if os.getuid() == 0:
        container.copy_from("/in/sub", tmp_path / "owned", archive=True)
        assert ((tmp_path / "owned").stat().st_uid, (tmp_path / "owned").stat().st_gid) == (12, 34)
    with pytest.raises(dk.errors.NotFound):
        container.copy_to(source / "link", "/none/")
    with pytest.raises(dk.errors.Conflict):
        container.copy_to(source, "/followed")
    with pytest.raises(dk.errors.InvalidInput):
        container.copy_from("/in", tmp_path / "small", max_entries=2)
    with pytest.raises(dk.errors.InvalidInput):
        container.copy_from("/in", tmp_path / "smaller", max_bytes=2)


def test_only_uncompressed_tars_are_put(container: dk.Container) -> None:
    for mode in ("w:gz", "w:xz"):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode=mode) as tar:
            tar.addfile(tarfile.TarInfo("marker"))
        with pytest.raises(dk.errors.InvalidInput):
            container.put_archive("/tmp", data=packed.getvalue())
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("marker"))
    container.put_archive("/tmp", data=plain.getvalue())
    stat = container.stat_path("/tmp/marker")
    assert (stat.name, stat.kind, stat.size, stat.mode) == ("marker", "file", 0, 0o644)
    with pytest.raises(dk.errors.NotFound):
        container.stat_path("/tmp/none")


def speaks(engine: dk.Engine, minor: int) -> bool:
    return int(engine.api_version.split(".")[1]) >= minor


def test_options_that_need_a_newer_engine_say_so(engine: dk.Engine, image: str) -> None:
    raw = engine.images.get(image).raw
    platform = f"{raw['Os']}/{raw['Architecture']}"
    calls: list[tuple[int, Callable[[], object]]] = [
        (49, lambda: engine.images.get(image, platform=platform)),
        (48, lambda: engine.images.get(image, manifests=True).manifests),
        (48, lambda: engine.images.history(image, platform=platform)),
        (48, lambda: sum(len(p) for p in engine.images.save([image], platform=platform))),
        (47, lambda: engine.images.list(manifests=True)),
        (42, lambda: engine.images.list(shared_size=True)),
        (42, lambda: engine.disk_usage(types=["images"])),
        (48, lambda: engine.images.prune_build_cache(min_free=1)),
    ]
    for minor, call in calls:
        if speaks(engine, minor):
            call()
            continue
        with pytest.raises(dk.errors.Unsupported) as caught:
            call()
        assert caught.value.context["needs_api"] == f"1.{minor}"


def test_container_is_asked_in_each_way(engine: dk.Engine, container: dk.Container) -> None:
    says(container, "dd if=/dev/zero of=/big bs=1024 count=100 2>/dev/null")
    assert (container.inspect(size=True).size_written or 0) >= 100 << 10
    listed = engine.containers.list(size=True, filters={"id": [container.id]})
    assert (listed[0].size_total or 0) > (listed[0].size_written or 0) >= 100 << 10
    assert container.top(ps_args="-o pid,comm").titles == ["PID", "COMMAND"]
    assert [s.pids > 0 for s in container.stats(one_shot=True)] == [True]
    assert list(container.logs(details=True)) == []
    container.attach(logs=True, no_stdin=True, detach_keys="ctrl-x,q")
    with pytest.raises(dk.errors.InvalidInput):
        container.attach(detach_keys="nonsense")
    container.update(memory="64m", memory_swap=128 << 20, cpuset="0")
    assert container.inspect().raw["HostConfig"]["MemorySwap"] == 128 << 20


def test_command_that_nobody_waits_for(container: dk.Container) -> None:
    ident = container.exec_detached(["sh", "-c", "sleep 0.3; exit 5"])
    state = container.exec_state(ident)
    assert (state.running, state.exit_code) == (True, None)
    until = time.monotonic() + 10
    while state.running and time.monotonic() < until:
        time.sleep(0.05)
        state = container.exec_state(ident)
    assert (state.running, state.exit_code) == (False, 5)


def test_terminal_gets_its_size(engine: dk.Engine, image: str, name: str) -> None:
    screen = engine.containers.run(image, ["sleep", "600"], name=name, tty=True)
    try:
        screen.resize(91, 33)
        assert "33 91" in says(screen, "stty size </proc/1/fd/0")
    finally:
        screen.remove(force=True)


def test_checkpoints_need_an_experimental_engine(engine: dk.Engine, container: dk.Container) -> None:
    if engine.info().raw["ExperimentalBuild"]:
        assert container.checkpoints.list() == []
        return
    for call in (
        container.checkpoints.list,
        lambda: container.checkpoints.create("one", keep_running=True),
        lambda: container.checkpoints.remove("one"),
        lambda: container.start(checkpoint="one"),
    ):
        with pytest.raises(dk.errors.Unsupported) as caught:
            call()
        assert "experimental" in (caught.value.hint or "")


PLUGIN: dict[str, Any] = {
    "Description": "does nothing",
    "Entrypoint": ["/nothing"],
    "WorkDir": "/",
    "Network": {"Type": "host"},
    "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "nothing.sock"},
    "Env": [{"Name": "LEVEL", "Description": "how much", "Value": "1", "Settable": ["value"]}],
    "Linux": {"Capabilities": ["CAP_SYS_ADMIN"], "Devices": None, "AllowAllDevices": False},
    "PropagatedMount": "",
    "Mounts": None,
    "Args": {"Name": "", "Description": "", "Settable": None, "Value": None},
}


def test_a_plugin_is_made_pushed_installed_and_upgraded(engine: dk.Engine, name: str, tmp_path: Path) -> None:
    place, user, password = lab("DOCKERKIT_LAB_REGISTRY"), lab("DOCKERKIT_LAB_REGISTRY_USER"), lab("DOCKERKIT_LAB_REGISTRY_PASSWORD")
    auth = dk.RegistryAuth(username=user, password=password)
    one, two = f"{place}/lab/{name}:1", f"{place}/lab/{name}:2"
    plugins = engine.plugins
    with pytest.raises(dk.errors.NotFound):
        plugins.create(one, tmp_path)
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "config.json").write_text(json.dumps(PLUGIN))
    for reference in (one, two):
        made = plugins.create(reference, tmp_path)
        assert (made.enabled, made.description, made.interfaces) == (False, "does nothing", ["docker.volumedriver/1.0"])
        assert made.name in [p.name for p in plugins.list()]
        plugins.set(reference, ["LEVEL=2"])
        assert plugins.get(reference).raw["Settings"]["Env"] == ["LEVEL=2"]
        # There is no such program in it.
        with pytest.raises(dk.errors.EngineError):
            plugins.enable(reference)
        with pytest.raises(dk.errors.DockerkitError):
            plugins.disable(reference)
        with pytest.raises(dk.errors.Unauthorized):
            plugins.push(reference, auth=dk.RegistryAuth(username=user, password="wrong"))
        plugins.push(reference, auth=auth)
        plugins.remove(reference)
        with pytest.raises(dk.errors.NotFound):
            plugins.get(reference)
    assert ("capabilities", ["CAP_SYS_ADMIN"]) in [(p.name, p.value) for p in plugins.privileges(one, auth=auth)]
    installed = plugins.install(one, auth=auth, disabled=True, settings=["LEVEL=7"])
    assert installed.raw["Settings"]["Env"] == ["LEVEL=7"]
    assert plugins.upgrade(one, two, auth=auth).raw["PluginReference"].endswith(":2")
    plugins.remove(one)


def test_networks_and_plugins_have_their_options(engine: dk.Engine, name: str) -> None:
    made = engine.networks.create(name, config_only=True)
    assert engine.networks.get(name, scope="local", verbose=True).id == made.id
    engine.networks.remove(name)
    for call in (lambda: engine.plugins.upgrade(name, "127.0.0.1:1/x:2"), lambda: engine.plugins.push(name)):
        with pytest.raises(dk.errors.NotFound):
            call()
