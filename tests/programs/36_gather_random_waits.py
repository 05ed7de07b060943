"""Tutorial C, "many coroutines at once": gather of random waits;
the results come in the order of the arguments whatever the waits were."""
import asyncio
import random

import _seed as seed
from _seed import S, print


async def fetch_data(name, waits):
    sec = random.randint(1, 10) / 2
    waits.append(sec)
    print(f"{name} wait sec {sec}")
    await asyncio.sleep(S(sec))
    return f"fetched {name}"


async def main():
    loop = asyncio.get_running_loop()
    for _ in range(2):
        waits = []
        t0 = loop.time()
        results = await asyncio.gather(*[fetch_data(n, waits) for n in (1, 2, 3)])
        seed.equal(results, ["fetched 1", "fetched 2", "fetched 3"])
        seed.bound(loop.time() - t0, S(max(waits)), "the longest wait")
        seed.equal([x.split()[0] for x in seed.lines()], ["1", "2", "3"])
        seed.clear()


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
