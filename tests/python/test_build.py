"""Builds that take more contexts, and caches that serve other builds."""

import base64
import json
from pathlib import Path

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
