"""Prints how long `import dockerkit` takes in a fresh interpreter, beside the interpreter's own start: best of 15."""

from __future__ import annotations

import subprocess
import sys
import time


def best(code: str) -> float:
    times = []
    for _ in range(15):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - start)
    return min(times) * 1000


if __name__ == "__main__":
    inside = "import time; s = time.perf_counter(); import dockerkit; print((time.perf_counter() - s) * 1000)"
    measured = [float(subprocess.run([sys.executable, "-c", inside], check=True, capture_output=True, text=True).stdout) for _ in range(15)]
    start, with_import = best("pass"), best("import dockerkit")
    print(f"interpreter {start:.1f} ms, with dockerkit {with_import:.1f} ms, import itself {min(measured):.1f} ms")
