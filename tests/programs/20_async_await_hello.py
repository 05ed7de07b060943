"""Tutorial B, "Async and Await": the same with async def / await,
threads named as the text prints them."""
import asyncio
import re
import threading

import _seed as seed
from _seed import S, print


async def hello():
    print("Hello world! (%s)" % threading.current_thread())
    await asyncio.sleep(S(1))
    print("Hello again! (%s)" % threading.current_thread())


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    tasks = [loop.create_task(hello()), loop.create_task(hello())]
    with seed.timed(1):
        loop.run_until_complete(asyncio.wait(tasks))
    loop.close()
    shape = re.compile(r"Hello (world|again)! \(<_MainThread\(MainThread, started \d+\)>\)$")
    words = [shape.match(line).group(1) for line in seed.lines()]
    seed.equal(words, ["world", "world", "again", "again"])
    t = [when for when, _ in seed.times()]
    seed.bound(t[2] - t[1], S(1), "the pause between world and again")


if __name__ == "__main__":
    seed.run(main)
