"""What docker's own configuration says: contexts, logins, credential helpers, headers, proxies."""

from __future__ import annotations

import base64
import io
import json
import os
import stat
import tarfile
import time
from pathlib import Path

import dockerkit as dk
import pytest
from conftest import Handler, SlowServer, lab, served


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of the test's own, empty."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return folder / "config.json"


def test_contexts_are_made_used_and_removed(slow: SlowServer, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(c.name, c.current) for c in dk.Engine.contexts()] == [("default", True)]
    config.write_text(json.dumps({"auths": {}, "HttpHeaders": {"X-Team": "ops"}}))
    made = dk.Engine.create_context("slow", slow.endpoint, description="answers late")
    assert (made.name, made.endpoint, made.description, made.current) == ("slow", slow.endpoint, "answers late", False)
    dk.Engine.use_context("slow")
    assert json.loads(config.read_text()) == {"auths": {}, "HttpHeaders": {"X-Team": "ops"}, "currentContext": "slow"}
    engine = dk.Engine.connect()
    assert (engine.source, engine.endpoint) == ("context slow", slow.endpoint)
    with pytest.raises(dk.errors.Conflict, match="current"):
        dk.Engine.remove_context("slow")
    dk.Engine.use_context("default")
    with monkeypatch.context() as set_:
        set_.setenv("DOCKER_CONTEXT", "slow")
        assert dk.Engine.connect().source == "context slow"
    assert "currentContext" not in json.loads(config.read_text())
    dk.Engine.remove_context("slow")
    dk.Engine.remove_context("slow")
    with pytest.raises(dk.errors.NotFound, match="known contexts: default"):
        dk.Engine.use_context("slow")
    for name in ("x", "default", "../up", "a b"):
        with pytest.raises(dk.errors.InvalidInput):
            dk.Engine.create_context(name, slow.endpoint)
    with pytest.raises(dk.errors.InvalidInput):
        dk.Engine.create_context("nowhere", "nonsense")


class HeaderHandler(Handler):
    """Answers everything, and keeps the requests with the header of the configuration."""

    def do_GET(self) -> None:
        assert isinstance(self.server, HeaderServer)
        self.server.seen.append((self.command, self.headers.get("X-Team")))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Api-Version", self.api_version)
        body = b'{"Id": "abc", "Warnings": []}'
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


class HeaderServer(SlowServer):
    """An engine that keeps what it was asked."""

    def __init__(self, path: str) -> None:
        self.seen: list[tuple[str, str | None]] = []
        super().__init__(path, HeaderHandler)


def test_headers_go_with_each_request(config: Path, tmp_path: Path) -> None:
    config.write_text(json.dumps({"HttpHeaders": {"X-Team": "ops"}}))
    server = HeaderServer(str(tmp_path / "s"))
    with served(server):
        engine = dk.Engine.connect(server.endpoint)
        assert engine.request("GET", "/things").json["Id"] == "abc"
        engine.containers.create("image", ["true"])
    # The ping, the request, the new container and what is read of it.
    assert [seen for seen in server.seen if seen[1] != "ops"] == []
    assert [method for method, _ in server.seen] == ["GET", "GET", "POST", "GET"]


def test_a_broken_configuration_is_named_and_not_shown(slow: SlowServer, config: Path) -> None:
    config.write_text('{"auths": {"r.test": {"auth": "c2VjcmV0"}')
    with pytest.raises(dk.errors.InvalidInput, match="is not JSON, at line 1") as caught:
        dk.Engine.connect(slow.endpoint)
    assert "c2VjcmV0" not in repr(caught.value)
    assert caught.value.context["path"] == str(config)


def helper(folder: Path, name: str, script: str) -> None:
    """A credential helper."""
    program = folder / f"docker-credential-{name}"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_logins_come_from_the_configuration_and_its_helpers(
    engine: dk.Engine, image: str, name: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, user, password = lab("DOCKERKIT_LAB_REGISTRY"), lab("DOCKERKIT_LAB_REGISTRY_USER"), lab("DOCKERKIT_LAB_REGISTRY_PASSWORD")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    reference = f"{place}/lab/{name}:1"
    engine.images.tag(image, reference)
    try:
        with pytest.raises(dk.errors.Unauthorized):
            engine.images.push(reference)
        config.write_text(json.dumps({"auths": {f"https://{place}": {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}}))
        engine.images.push(reference)
        info = engine.images.registry_info(reference)
        assert info.digest.startswith("sha256:")
        assert info.platforms[0].startswith("linux/")
        with pytest.raises(dk.errors.NotFound):
            engine.images.registry_info(f"{place}/lab/nothing:1")
        assert engine.login(username=user, password=password, server=f"https://{place}")
        with pytest.raises(dk.errors.Unauthorized):
            engine.login(username=user, password="wrong", server=f"https://{place}")

        answer = json.dumps({"ServerURL": place, "Username": user, "Secret": password})
        helper(tmp_path, "good", f'read server; [ "$1 $server" = "get {place}" ] && echo \'{answer}\'')
        helper(tmp_path, "none", "echo 'credentials not found in native keychain'; exit 1")
        helper(tmp_path, "bad", "echo 'secret things'; exit 1")
        helper(tmp_path, "long", "head -c 100000 /dev/zero")
        helper(tmp_path, "noise", "echo hello")
        config.write_text(json.dumps({"credHelpers": {place: "good"}}))
        engine.images.push(reference)
        assert engine.images.pull(reference).id == engine.images.get(image).id
        config.write_text(json.dumps({"credsStore": "none"}))
        with pytest.raises(dk.errors.Unauthorized):
            engine.images.push(reference)
        for wrong, says in [("bad", "failed"), ("long", "too much"), ("noise", "JSON"), ("missing", "PATH"), ("../x", "name")]:
            config.write_text(json.dumps({"credHelpers": {place: wrong}}))
            with pytest.raises(dk.errors.CommandFailed, match=says) as caught:
                engine.images.push(reference)
            assert "secret things" not in repr(caught.value)
        helper(tmp_path, "stuck", "sleep 100")
        config.write_text(json.dumps({"credHelpers": {place: "stuck"}}))
        begin = time.monotonic()
        with pytest.raises(dk.errors.Timeout):
            engine.images.push(reference, deadline=0.5)
        assert time.monotonic() - begin < 2
    finally:
        engine.images.remove(reference)


def test_proxies_reach_containers_and_builds(engine: dk.Engine, image: str, name: str, config: Path, tmp_path: Path) -> None:
    config.write_text(json.dumps({"proxies": {"default": {"httpProxy": "http://proxy.test:1"}}}))
    seen = engine.containers.run_output(image, ["sh", "-c", "echo $http_proxy $HTTP_PROXY"]).stdout
    assert seen == b"http://proxy.test:1 http://proxy.test:1\n"
    spec = dk.ContainerSpec(env={"http_proxy": "other"})
    assert engine.containers.run_output(image, ["sh", "-c", "echo $http_proxy"], spec=spec).stdout == b"other\n"
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f'FROM {image}\nRUN test "$http_proxy" = http://proxy.test:1\n')
    for builder in ("classic", "buildkit"):
        engine.images.build(context, tags=[f"{name}:1"], builder=builder)
    engine.images.remove(f"{name}:1")


def test_a_build_gets_its_secrets(engine: dk.Engine, image: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nRUN --mount=type=secret,id=key grep -qx h.nter2 /run/secrets/key\n")
    events: list[dk.Event] = []
    engine.images.build(tmp_path, tags=[f"{name}:1"], secrets={"key": "hunter2"}, on_event=events.append)
    assert any(e.resource.kind == "step" and e.status == "done" for e in events)
    assert "hunter2" not in repr(events)
    engine.images.remove(f"{name}:1")
    with pytest.raises(dk.errors.InvalidInput, match="classic"):
        engine.images.build(tmp_path, secrets={"key": "hunter2"}, builder="classic")


def test_a_container_is_measured_waited_for_and_exported(engine: dk.Engine, image: str) -> None:
    container = engine.containers.run(image, ["sh", "-c", "mkdir /www; echo ok >/www/health; echo begin; exec httpd -f -p 80 -h /www"])
    try:
        container.wait_until(log="begin", port=80, http="/health")
        with container.stats() as stats:
            assert next(iter(stats)).memory_limit > 0
        assert len(list(container.stats(stream=False))) == 1
        archive = io.BytesIO(b"".join(container.export()))
        with tarfile.open(fileobj=archive) as tar:
            assert "www/health" in tar.getnames()
        with pytest.raises(dk.errors.Timeout, match="port 81"):
            container.wait_until(port=81, timeout=0.3)
    finally:
        container.remove(force=True)
