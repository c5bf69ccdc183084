"""An app on each engine from Python: up, waits, and what its containers say."""

from __future__ import annotations

from collections.abc import Iterator

import dockerkit as dk
import pytest

TEXT = """
services:
  web:
    image: {image}
    command: sh -c 'sleep 1; echo ready to serve; mkdir /w; echo ok >/w/health; exec httpd -f -p 80 -h /w'
    stop_grace_period: 0s
"""


@pytest.fixture
def app(engine: dk.Engine, image: str, name: str) -> Iterator[dk.App]:
    made = dk.App(engine, dk.Project.parse(TEXT.format(image=image), name=name))
    yield made
    made.down(volumes=True)


def test_up_waits_until_a_service_can_be_used(app: dk.App) -> None:
    with pytest.raises(dk.errors.NotFound):
        app.wait_until("web")
    app.up(wait_until={"web": {"port": 80, "http": "/health", "log": "ready to serve"}})
    app.wait_until("web", port=80, http="/health", http_status=200)
    assert {container.status for container in app.ps()} == {"running"}
    with pytest.raises(dk.errors.Timeout, match="never"):
        app.up(wait_until={"web": dk.WaitUntil(log="never", timeout=1)})
    with pytest.raises(dk.errors.InvalidInput, match="did you mean `port`"):
        app.up(wait_until={"web": {"prot": 80}})


def test_a_plan_is_applied_while_it_holds(app: dk.App) -> None:
    plan = app.plan()
    assert "create" in str(plan)
    assert not plan.is_empty
    report = app.apply(plan)
    assert any("web" in done for done in report.done)
    assert app.plan().is_empty
    with pytest.raises(dk.errors.Conflict):
        app.apply(plan)
