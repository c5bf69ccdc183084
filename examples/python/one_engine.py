"""Brings the shop up on one engine, asks it, changes its greeting, and takes it down again."""

import tempfile
import time
import urllib.request
from pathlib import Path

import dockerkit as dk

SHOP = Path(__file__).resolve().parent.parent / "shop"


def ask(port: int) -> str:
    """What the shop's front says."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        return str(answer.read().decode())


def main() -> None:
    engine = dk.Engine.connect()
    print(f"engine {engine.version().version} at {engine.endpoint}")

    # The file is written for a cluster; on one engine a bridge takes the overlay's place.
    with tempfile.TemporaryDirectory() as folder:
        override = Path(folder) / "compose.one.yaml"
        here = "{environment: {NODE: this engine}}"
        ports = '{environment: {NODE: this engine}, ports: !override ["8080"]}'
        override.write_text(f"networks: {{shop: {{driver: bridge}}}}\nservices: {{web: {ports}, api: {here}, store: {here}}}\n")
        project = dk.Project.load(str(SHOP / "compose.yaml"), str(override))
        app = dk.App(engine, project)
        print(app.plan())

        begin = time.monotonic()
        app.up(build=True, wait=True, on_event=dk.progress.terminal())
        print(f"up in {time.monotonic() - begin:.1f} s; again: {app.plan()}")

        web = next(c for c in app.ps() if c.name.startswith("shop-web"))
        print(ask(web.ports[0].published))

        greeting = SHOP / "config" / "greeting.txt"
        before = greeting.read_text()
        try:
            greeting.write_text("Hello again, with nothing rebuilt\n")
            print(ask(web.ports[0].published))
        finally:
            greeting.write_text(before)

        app.down(volumes=True)
        left = app.ps(all=True)
        print(f"down; containers left: {len(left)}")


if __name__ == "__main__":
    main()
