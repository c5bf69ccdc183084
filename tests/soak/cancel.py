"""Ten thousand calls and streams that are given up, half of each, on a real engine: nothing of them may be left."""

from __future__ import annotations

import asyncio
import gc
import os
import threading

import dockerkit as dk
from dockerkit import aio

BATCH, BATCHES, WARM = 50, 200, 20
MEGABYTE = 1 << 20


def used() -> tuple[int, int, int]:
    """Open descriptors, threads and resident bytes."""
    gc.collect()
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return len(os.listdir("/proc/self/fd")), threading.active_count(), pages * os.sysconf("SC_PAGE_SIZE")


async def follow(engine: aio.Engine) -> None:
    async for _ in engine.events():
        pass


async def batch(engine: aio.Engine, container: aio.Container, pause: float) -> None:
    tasks = [asyncio.ensure_future(container.wait()) for _ in range(BATCH // 2)]
    tasks += [asyncio.ensure_future(follow(engine)) for _ in range(BATCH // 2)]
    await asyncio.sleep(pause)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def main() -> None:
    engine = await aio.Engine.connect(os.environ["DOCKERKIT_LAB_ENGINE"])
    container = await engine.containers.run(os.environ["DOCKERKIT_LAB_IMAGE"], ["sleep", "100000"], stop_timeout=0)
    try:
        before = used()
        for i in range(BATCHES):
            await batch(engine, container, 0.02 * (i % 5) / 4)
            if i == WARM:
                await asyncio.sleep(1)
                before = used()
        await asyncio.sleep(1)
        await engine.ping()
        after = used()
    finally:
        await container.remove(force=True)
    print(f"Python: {BATCH * BATCHES} given up; descriptors {before[0]} -> {after[0]}, threads {before[1]} -> {after[1]}, ", end="")
    print(f"memory {before[2] / MEGABYTE:.1f} -> {after[2] / MEGABYTE:.1f} MB, with dockerkit {dk.__version__}")
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1]
    assert after[2] <= before[2] + 5 * MEGABYTE


asyncio.run(main())
