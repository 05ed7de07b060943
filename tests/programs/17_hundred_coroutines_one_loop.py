"""Tutorial A, the end of section 3 (commented out there):
the same 100 coroutines on one loop: 1 second in all."""
import asyncio
import os
import threading

import _seed as seed
from _seed import S, print


async def hello(name):
    print("hello {} {}**********{}".format(name, os.getpid(), threading.current_thread().name))
    await asyncio.sleep(S(1))
    print("end:{}  {}".format(name, os.getpid()))


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    namelist = list("0123456789" * 10)
    with seed.timed(1, "100 coroutines"), seed.quiet():
        tasks = [asyncio.ensure_future(hello(i)) for i in namelist]
        loop.run_until_complete(asyncio.wait(tasks))
    lines = seed.lines()
    seed.equal(lines[:100], ["hello %s %d**********MainThread" % (n, os.getpid()) for n in namelist])
    # Equal sleeps end in the order they were asked for.
    seed.equal(lines[100:], ["end:%s  %d" % (n, os.getpid()) for n in namelist])
    loop.close()


if __name__ == "__main__":
    seed.run(main)
