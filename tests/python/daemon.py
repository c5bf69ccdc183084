"""Engines of a test's own, which it may kill and hold; nothing of the lab's engines is touched."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import dockerkit as dk

SCRIPT = Path(__file__).resolve().parents[1] / "lab" / "daemon.sh"


def programs() -> list[str]:
    """The engines' programs on this machine: its own, and that of the lab's second engine."""
    own = shutil.which("dockerd")
    compose = os.environ.get("DOCKERKIT_LAB_COMPOSE")
    newer = str(Path(compose).parents[4] / "usr/sbin/dockerd") if compose else None
    return [p for p in (own, newer) if p and Path(p).is_file()]


class Daemon:
    """A dockerd with a socket, folders and a bridge of its own."""

    def __init__(self, program: str, *args: str, disk: str = "") -> None:
        """With a disk of its own, of a size such as `64m`, where one is given."""
        self.program, self.args = program, args
        # The path of a socket must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="dk-p", dir="/tmp"))
        if disk:
            self.data.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk}", "dk-disk", str(self.data)], check=True)
        self.process = self._start()

    @property
    def endpoint(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    @property
    def data(self) -> Path:
        """Where it keeps what it has."""
        return self.folder / "data"

    def fill(self, left: int) -> Path:
        """Fills its disk until so many bytes are left, by a file that is given back."""
        filler = self.data / "filler"
        for _ in range(100):
            disk = os.statvfs(self.data)
            try:
                with filler.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - left)
                return filler
            except OSError as error:
                # The engine wrote in between; what was taken so far is given back.
                if error.errno != errno.ENOSPC:
                    raise
                filler.unlink()
                time.sleep(0.05)
        raise AssertionError("the engine writes without end")

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sh", str(SCRIPT), "run", str(self.folder), self.program, *self.args], stdin=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self._answers():
            assert process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.05)
        return process

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as ask:
            ask.settimeout(5)
            ask.connect(f"{self.folder}/docker.sock")
            ask.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            return ask.recv(12) == b"HTTP/1.0 200"
        return False

    def image(self, endpoint: str, image: str) -> None:
        """Gives it an image of another engine."""
        with dk.Engine.connect(endpoint) as lab, dk.Engine.connect(self.endpoint) as own:
            own.images.load(data=b"".join(lab.images.save([image])))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.process = self._start()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        if self.process.poll() is not None:
            # Containers of one that was killed are ended by the next one.
            self.restart()
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(25)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        subprocess.run(["sh", str(SCRIPT), "clean", str(self.folder)], check=True)
