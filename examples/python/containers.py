"""Runs a container, follows its output, runs a command in it, moves a file, and shows how errors look.

python examples/python/containers.py [image] [endpoint]
"""

import sys
import tempfile
from pathlib import Path

import dockerkit as dk
from dockerkit.progress import terminal


def main(image: str = "busybox", endpoint: str | None = None) -> None:
    # Without an endpoint the engine is found as the docker CLI finds it; "ssh://deploy@10.0.0.5" works as well.
    with dk.Engine.connect(endpoint) as engine:
        version = engine.version()
        print(f"Docker {version.version} on {version.os}/{version.arch}, API {engine.api_version}")

        if not engine.images.list(filters={"reference": [image]}):
            engine.images.pull(image, on_event=terminal())

        container = engine.containers.run(image, ["sh", "-c", "for i in 1 2 3; do echo tick $i; sleep 0.2; done; sleep 60"], labels={"example": "containers"})
        try:
            # A stream ends when it is closed: here after the third line.
            with container.logs(follow=True) as logs:
                for chunk in logs:
                    print(f"{chunk.stream}: {chunk.data.decode().strip()}")
                    if b"tick 3" in chunk.data:
                        break

            done = container.exec("wc -c", stdin=b"twelve bytes")
            print(f"exit code {done.exit_code}, output {done.stdout.decode().strip()}")

            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "hello.txt"
                file.write_text("hello from the host\n")
                container.copy_to(file, "/tmp/")
            print(container.exec("cat /tmp/hello.txt").stdout.decode(), end="")

            try:
                engine.containers.create(image, name=container.name)
            except dk.errors.AlreadyExists as error:
                print(f"{error.kind}: {error}")
        finally:
            container.remove(force=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
