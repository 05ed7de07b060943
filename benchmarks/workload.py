"""What an in-process workload is, and all of them by name.

A workload is an ``async def f(loop, n)`` run inside the loop, or, with ``outside=True``,
a plain ``def f(loop, n)`` that drives the loop itself.  ``cpus`` are the cores the
process may use.
"""
from time import perf_counter as now  # noqa: F401 - the clock of all of them

WORKLOADS = {}


def micro(n, group="micro", cpus="0", outside=False, reps=3, needs=None, note=""):
    def deco(f):
        f.n, f.group, f.cpus, f.outside, f.reps, f.needs = n, group, cpus, outside, reps, needs
        f.note = note or (f.__doc__ or "").strip().split("\n")[0]
        WORKLOADS[f.__name__] = f
        return f

    return deco


async def noop():
    pass
