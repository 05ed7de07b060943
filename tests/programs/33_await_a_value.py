"""Tutorial C, "coroutine functions": data = await fetch_data()."""
import asyncio

import _seed as seed
from _seed import S, print


async def fetch_data():
    await asyncio.sleep(S(2))
    return "Data fetched"


async def main():
    data = await fetch_data()
    print(data)


def program():
    with seed.timed(2):
        asyncio.run(main())
    seed.expect("Data fetched")


if __name__ == "__main__":
    seed.run(program)
