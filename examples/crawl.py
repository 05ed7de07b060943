"""A task for each job, a limit on how many run at once, a time limit for all.

python -m conbrio examples/crawl.py
"""

import asyncio


async def fetch(number: int, limit: asyncio.Semaphore) -> int:
    """Stands for a request that takes ten milliseconds."""
    async with limit:
        await asyncio.sleep(0.01)
        return number * number


async def main() -> None:
    """Fetches a hundred pages, ten at a time."""
    limit = asyncio.Semaphore(10)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        jobs = [group.create_task(fetch(number, limit)) for number in range(100)]
    print("sum of squares:", sum(job.result() for job in jobs))


if __name__ == "__main__":
    asyncio.run(main())
