"""Tutorial A, section 3: many processes, each with an asyncio loop.

100 names, 10 a process: each process runs its 10 hello() coroutines on its own
loop (asyncio.get_event_loop() in the child of a parent that had none), each
sleeps 1.  Claimed by the text: hello lines, then end lines, with the pid.
The original drops a last batch of fewer than 10: it tests `namelist`, empty by
then, where it means `lst`.  Ours keeps it.

SEED_START picks the start method (default: this Python's own; 'all' = each).
"""
import asyncio
import multiprocessing
import os
import threading
import time
import warnings

import _seed as seed
from _seed import S


async def hello(name, queue):
    queue.put(("hello", name, os.getpid(), threading.current_thread() is threading.main_thread(),
               type(asyncio.get_running_loop()).__name__))
    await asyncio.sleep(S(1))
    queue.put(("end", name, os.getpid(), True, ""))


async def wait_all(names, queue):
    tasks = [asyncio.ensure_future(hello(name, queue)) for name in names]
    await asyncio.wait(tasks)


def process_start(queue, *names):
    # The original's get_event_loop() makes the child's loop (up to 3.13); a loop
    # set in a forked parent must not be the child's.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            loop = asyncio.get_event_loop()
        except RuntimeError:                       # 3.14
            loop = asyncio.new_event_loop()
    t0 = time.monotonic()
    loop.run_until_complete(wait_all(names, queue))
    queue.put(("took", len(names), os.getpid(), time.monotonic() - t0, ""))
    loop.close()


def task_start(context, queue, namelist, flag=10):
    lst, processes = [], []
    while namelist:
        lst.append(namelist.pop())
        if len(lst) == flag or not namelist:
            p = context.Process(target=process_start, args=[queue] + lst)
            p.start()
            processes.append(p)
            lst = []
    return processes


def one_method(method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    names = list("0123456789" * 10) + ["last"]
    processes = task_start(context, queue, list(names))
    seed.equal(len(processes), 11)
    events = [queue.get(timeout=60) for _ in range(2 * len(names) + len(processes))]
    for p in processes:
        p.join(60)
        seed.equal(p.exitcode, 0, "child's exit")
    hellos = [e for e in events if e[0] == "hello"]
    ends = [e for e in events if e[0] == "end"]
    took = [e for e in events if e[0] == "took"]
    seed.equal(sorted(e[1] for e in hellos), sorted(names))
    seed.equal(sorted(e[1] for e in ends), sorted(names))
    pids = {e[2] for e in events}
    seed.equal(len(pids), 11, "eleven processes")
    seed.check(os.getpid() not in pids)
    seed.check(all(e[3] for e in hellos), "on the main thread of each")
    want = seed.loop_class().__name__
    seed.equal({e[4] for e in hellos}, {want}, "each child runs the loop under test")
    for e in took:
        seed.bound(e[3], S(1), "%d coroutines in one child (%s)" % (e[1], method), 4 * seed.SLACK)


def main():
    method = os.environ.get("SEED_START", "")
    methods = multiprocessing.get_all_start_methods() if method == "all" else [method or None]
    for m in methods:
        one_method(m)


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
