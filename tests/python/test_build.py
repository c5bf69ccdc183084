"""Builds that take more contexts, and caches that serve other builds."""

import base64
import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import dockerkit as dk
import pytest
from conftest import lab


def test_more_contexts_reach_a_build(engine: dk.Engine, image: str, name: str, tmp_path: Path) -> None:
    main, other = tmp_path / "main", tmp_path / "other"
    for folder in (main, other):
        folder.mkdir()
    (main / "Dockerfile").write_text("FROM base\nCOPY --from=other . /other/\nRUN test ! -e /other/left && cat /other/word\n")
    (other / "word").write_text("from elsewhere")
    (other / "left").write_text("out")
    (other / ".dockerignore").write_text("left\n")
    contexts = {"base": f"docker-image://{image}", "other": str(other)}
    tag = f"{name}:1"
    if engine.version().version.startswith("20.10"):
        with pytest.raises(dk.errors.Unsupported, match=r"23\.0"):
            engine.images.build(main, tags=[tag], additional_contexts=contexts)
        return
    events: list[dk.Event] = []
    engine.images.build(main, tags=[tag], additional_contexts=contexts, on_event=events.append)
    try:
        assert any("from elsewhere" in event.message for event in events)
        assert engine.containers.run_output(tag, ["cat", "/other/word"]).stdout == b"from elsewhere"
    finally:
        engine.images.remove(tag)
    with pytest.raises(dk.errors.CommandFailed) as caught:
        engine.images.build(main, dockerfile_inline=f"FROM {image}\nRUN exit 3\n", additional_contexts=contexts)
    assert caught.value.context["exit_code"] == "3"
    with pytest.raises(dk.errors.NotFound):
        engine.images.build(main, additional_contexts={"other": str(tmp_path / "none")})
    with pytest.raises(dk.errors.Unsupported):
        engine.images.build(main, additional_contexts={"other": "oci-layout://somewhere"})


SEEN = "echo $WORD; cat /run/secrets/key; echo; grep test /etc/hosts; sed 1,2d /proc/net/dev | grep -v lo: | wc -l"


def test_settings_mean_the_same_on_both_ways(engine: dk.Engine, image: str, name: str, tmp_path: Path) -> None:
    text = f"FROM {image} AS wanted\nARG WORD\nRUN --mount=type=secret,id=key ({SEEN}) >/seen\nFROM wanted\nRUN false\n"
    hosts = {"one.test": "10.1.2.3", "two.test": "10.0.0.1,10.0.0.2", "gate.test": "host-gateway"}
    spec = dk.ContainerSpec(extra_hosts={"gate.test": "host-gateway"})
    gate = engine.containers.run_output(image, ["grep", "gate.test", "/etc/hosts"], spec=spec).stdout.split()[0].decode()
    # The engine's own way to BuildKit, and ours, which 20.10 does not know.
    ways: list[dict[str, str]] = [{}] if engine.version().version.startswith("20.10") else [{}, {"more": str(tmp_path)}]
    for contexts in ways:
        built = engine.images.build(
            tmp_path,
            tags=[f"{name}:1"],
            builder="buildkit",
            no_cache=True,
            dockerfile_inline=text,
            target="wanted",
            args={"WORD": "a, b = c"},
            labels={"made": "here"},
            network="none",
            extra_hosts=hosts,
            secrets={"key": "hunter2"},
            additional_contexts=contexts,
        )
        assert built.labels["made"] == "here"
        seen = engine.containers.run_output(f"{name}:1", ["cat", "/seen"]).stdout.decode().splitlines()
        lines = [" ".join(line.split()) for line in seen]
        assert lines == ["a, b = c", "hunter2", f"{gate} gate.test", "10.1.2.3 one.test", "10.0.0.1 two.test", "10.0.0.2 two.test", "0"]
        engine.images.remove(f"{name}:1", force=True)
        for hosts_ in ({"a.test": "nonsense"}, {"a.test": "10.0.0.1,b.test=10.0.0.2"}, {"a,b": "10.0.0.1"}):
            with pytest.raises(dk.errors.InvalidInput, match="extra_hosts"):
                engine.images.build(tmp_path, dockerfile_inline=text, builder="buildkit", extra_hosts=hosts_, additional_contexts=contexts)
        with pytest.raises(dk.errors.InvalidInput, match="network"):
            engine.images.build(tmp_path, dockerfile_inline=text, builder="buildkit", network="nowhere", additional_contexts=contexts)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_what_lies_on_the_network_is_fetched_by_the_engine(engine: dk.Engine, image: str, name: str, tmp_path: Path) -> None:
    if engine.version().version.startswith("20.10"):
        with pytest.raises(dk.errors.Unsupported, match=r"23\.0"):
            engine.images.build(tmp_path, dockerfile_inline=f"FROM {image}\n", additional_contexts={"far": "http://127.0.0.1:1/word"})
        return
    (tmp_path / "word").write_text("from afar")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path))) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            place = f"http://127.0.0.1:{server.server_address[1]}"
            text = f"FROM {image}\nCOPY --from=far word /word\n"
            engine.images.build(tmp_path, dockerfile_inline=text, tags=[f"{name}:1"], additional_contexts={"far": f"{place}/word"})
            assert engine.containers.run_output(f"{name}:1", ["cat", "/word"]).stdout == b"from afar"
            engine.images.remove(f"{name}:1")
            with pytest.raises(dk.errors.NotFound):
                engine.images.build(tmp_path, dockerfile_inline=text, additional_contexts={"far": f"{place}/none"})
        finally:
            server.shutdown()
            thread.join()
    for far in ("https://127.0.0.1:1/word", "https://127.0.0.1:1/word.git", "git://127.0.0.1:1/word"):
        with pytest.raises(dk.errors.Unreachable):
            engine.images.build(tmp_path, dockerfile_inline=text, additional_contexts={"far": far})


def test_a_cache_in_an_image_serves_another_build(engine: dk.Engine, image: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, user, password = lab("DOCKERKIT_LAB_REGISTRY"), lab("DOCKERKIT_LAB_REGISTRY_USER"), lab("DOCKERKIT_LAB_REGISTRY_PASSWORD")
    config = tmp_path / "docker"
    config.mkdir()
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (config / "config.json").write_text(json.dumps({"auths": {place: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {image}\nRUN echo {name}; cat /proc/sys/kernel/random/uuid >/made\n")
    tag = f"{place}/lab/{name}:cached"
    first = engine.images.build(context, tags=[tag], builder="buildkit", cache_to=["type=inline"])
    engine.images.push(tag)
    # The oldest engine's builder does not read the certificates of a registry: there the image itself has to stay.
    if not engine.version().version.startswith("20.10"):
        engine.images.remove(tag, force=True)
    engine.images.prune_build_cache(all=True)
    again = engine.images.build(context, tags=[f"{name}:2"], builder="buildkit", cache_from=[f"type=registry,ref={tag}"])
    assert again.raw["RootFS"] == first.raw["RootFS"]
    for other in engine.images.list():
        for known in other.tags:
            if name in known:
                engine.images.remove(known, force=True)
    with pytest.raises(dk.errors.Unsupported):
        engine.images.build(context, cache_to=["type=local,dest=/tmp/x"])
    with pytest.raises(dk.errors.InvalidInput, match="classic"):
        engine.images.build(context, cache_to=["type=inline"], builder="classic")
