"""Tutorial B, "gevent": monkey.patch_all, spawn, joinall.

Two workers, 10 rounds each with time.sleep(random): patched, their sleeps
overlap, their lines interleave, each one's own lines keep their order.
GEVENT_LOOP picks gevent's loop class, as for any gevent program.
"""
import _seed as seed
from _seed import S, print

seed.need("gevent")
from gevent import monkey                          # noqa: E402
monkey.patch_all()

import random                                      # noqa: E402
import time                                        # noqa: E402

import gevent                                      # noqa: E402


def main():
    slept = {"work1": 0.0, "work2": 0.0}

    def coroutine_work(coroutine_name):
        for i in range(10):
            print(coroutine_name, i)
            pause = S(0.1 + 0.3 * random.random())
            slept[coroutine_name] += pause
            time.sleep(pause)
        return coroutine_name

    t0 = time.monotonic()
    jobs = gevent.joinall([
        gevent.spawn(coroutine_work, "work1"),
        gevent.spawn(coroutine_work, "work2"),
    ])
    took = time.monotonic() - t0
    seed.bound(took, max(slept.values()), "both, side by side")
    seed.check(took < sum(slept.values()), "the sleeps overlapped")
    # joinall gives them in the order they ended
    seed.equal(sorted(j.value for j in jobs), ["work1", "work2"])
    lines = seed.lines()
    for name in slept:
        seed.equal([x for x in lines if x.startswith(name)], ["%s %d" % (name, i) for i in range(10)])
    seed.equal(lines[:2], ["work1 0", "work2 0"])
    last = max(i for i, x in enumerate(lines) if x.startswith("work1"))
    seed.check(any(x.startswith("work2") for x in lines[:last]), "interleaved")
    print("gevent loop:", type(gevent.get_hub().loop).__module__, type(gevent.get_hub().loop).__name__)


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
