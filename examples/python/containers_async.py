"""Runs three containers at the same time and waits for the first answer; the others are cancelled.

python examples/python/containers_async.py [image] [endpoint]
"""

import asyncio
import sys

from dockerkit import aio


async def race(engine: aio.Engine, image: str, seconds: float) -> str:
    done = await engine.containers.run_output(image, ["sh", "-c", f"sleep {seconds}; echo the one of {seconds} seconds"], deadline=30)
    return done.stdout.decode().strip()


async def main(image: str = "busybox", endpoint: str | None = None) -> None:
    async with await aio.Engine.connect(endpoint) as engine:
        tasks = [asyncio.create_task(race(engine, image, seconds)) for seconds in (0.2, 20, 30)]
        finished, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        print("first:", *(task.result() for task in finished))
        await asyncio.gather(*waiting, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
