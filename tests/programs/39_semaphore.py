"""Tutorial C, "Semaphore": two at a time of five workers, 1 s each:
three rounds, 3 seconds, never more than two inside."""
import asyncio

import _seed as seed
from _seed import S, print


async def worker(semaphore, id, inside):
    async with semaphore:
        inside[0] += 1
        inside[1] = max(inside)
        print(f"Worker {id} started")
        await asyncio.sleep(S(1))
        print(f"Worker {id} finished")
        inside[0] -= 1


async def main():
    semaphore = asyncio.Semaphore(2)
    inside = [0, 0]
    tasks = [worker(semaphore, i, inside) for i in range(5)]
    with seed.timed(3):
        await asyncio.gather(*tasks)
    seed.equal(inside, [0, 2])
    seed.expect("Worker 0 started", "Worker 1 started",
                "Worker 0 finished", "Worker 1 finished", "Worker 2 started", "Worker 3 started",
                "Worker 2 finished", "Worker 3 finished", "Worker 4 started", "Worker 4 finished")
    seed.check(not semaphore.locked())
    with seed.raises(ValueError):
        asyncio.Semaphore(-1)
    bounded = asyncio.BoundedSemaphore(1)
    with seed.raises(ValueError):
        bounded.release()


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
