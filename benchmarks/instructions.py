#!/usr/bin/env python3
"""Counts the instructions of single operations under callgrind and holds them to recorded budgets.

    instructions.py --python PY            # compare with instructions.json; 1 if one is beyond 5 %
    instructions.py --python PY --record   # write what is counted as the new budget

PY has a release build of conbrio. All rows run in one process; a call that nothing else makes cuts
callgrind's counts before and after each, and each runs with two numbers of operations, whose
difference is what counts. So start-up does not matter, and the whole takes a few seconds.

To add a row: one coroutine function with `@row` below, which does `n` operations; then --record.
Counts are those of one interpreter's build, and of whether conbrio's was guided by `./dev train`, so budgets are kept for each;
without one it says so.
"""
import argparse
import asyncio
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile

BUDGETS = pathlib.Path(__file__).with_suffix(".json")
LIMIT = 0.05
FEW, MANY = 200, 1000
# Nothing but `cut` calls it, so callgrind writes its counts down whenever it is called.
CUT = "getpriority"
ROWS = {}


def row(function):
    """Make a function a row."""
    ROWS[function.__name__] = function
    return function


@row
async def sleep0(n):
    for _ in range(n):
        await asyncio.sleep(0)


@row
async def lock_free(n):
    lock = asyncio.Lock()
    for _ in range(n):
        async with lock:
            pass


@row
async def lock_acquire_release(n):
    lock = asyncio.Lock()
    for _ in range(n):
        await lock.acquire()
        lock.release()


@row
async def lock_contended(n):
    lock = asyncio.Lock()

    async def worker():
        for _ in range(n // 2):
            async with lock:
                await asyncio.sleep(0)

    await asyncio.gather(worker(), worker())


@row
async def semaphore_free(n):
    semaphore = asyncio.Semaphore(1)
    for _ in range(n):
        async with semaphore:
            pass


@row
async def semaphore_contended(n):
    semaphore = asyncio.BoundedSemaphore(2)

    async def worker():
        for _ in range(n // 4):
            async with semaphore:
                await asyncio.sleep(0)

    await asyncio.gather(*[worker() for _ in range(4)])


@row
async def event_handover(n):
    one, other = asyncio.Event(), asyncio.Event()

    async def worker():
        for _ in range(n // 2):
            await one.wait()
            one.clear()
            other.set()

    task = asyncio.ensure_future(worker())
    for _ in range(n // 2):
        one.set()
        await other.wait()
        other.clear()
    await task


@row
async def condition_handover(n):
    condition, turn = asyncio.Condition(), 0

    async def worker(me):
        nonlocal turn
        for _ in range(n // 2):
            async with condition:
                while turn != me:
                    await condition.wait()
                turn = 1 - me
                condition.notify()

    await asyncio.gather(worker(0), worker(1))


@row
async def queue_put_get(n):
    queue = asyncio.Queue()
    for number in range(n):
        await queue.put(number)
        await queue.get()


@row
async def queue_nowait(n):
    queue = asyncio.Queue()
    for number in range(n):
        queue.put_nowait(number)
        queue.get_nowait()


@row
async def queue_handover(n):
    one, other = asyncio.Queue(1), asyncio.Queue(1)

    async def worker():
        for _ in range(n // 2):
            await other.put(await one.get())

    task = asyncio.ensure_future(worker())
    for number in range(n // 2):
        await one.put(number)
        await other.get()
    await task


@row
async def barrier(n):
    gate = asyncio.Barrier(2)

    async def worker():
        for _ in range(n // 2):
            await gate.wait()

    await asyncio.gather(worker(), worker())


@row
async def queue_stream(n):
    queue = asyncio.Queue(100)

    async def producer():
        for number in range(n):
            await queue.put(number)

    task = asyncio.ensure_future(producer())
    for _ in range(n):
        await queue.get()
    await task


@row
async def queue_derived(n):
    """A queue that says itself where its items lie."""

    class Derived(asyncio.Queue):
        def _init(self, maxsize):
            self._queue = []

        def _put(self, item):
            self._queue.append(item)

        def _get(self):
            return self._queue.pop()

    queue = Derived()
    for number in range(n):
        queue.put_nowait(number)
        queue.get_nowait()


async def through(queue, n):
    """Three in, three out."""
    for number in range(n // 3):
        for item in (number % 7, 3, number % 5):
            await queue.put(item)
        for _ in range(3):
            await queue.get()


@row
async def priority_queue(n):
    await through(asyncio.PriorityQueue(), n)


@row
async def lifo_queue(n):
    await through(asyncio.LifoQueue(), n)


@row
async def group_of_one(n):
    async def nothing():
        pass

    for _ in range(n):
        async with asyncio.TaskGroup() as group:
            group.create_task(nothing())


@row
async def timeout_block(n):
    for _ in range(n):
        async with asyncio.timeout(10):
            await asyncio.sleep(0)


@row
async def wait_for(n):
    async def once():
        await asyncio.sleep(0)

    for _ in range(n):
        await asyncio.wait_for(once(), 10)


@row
async def gather_10(n):
    async def nothing():
        pass

    for _ in range(n // 10):
        await asyncio.gather(*[nothing() for _ in range(10)])


async def number(answer):
    await asyncio.sleep(0)
    return answer


@row
async def wait_10(n):
    for _ in range(n // 10):
        await asyncio.wait([asyncio.ensure_future(number(i)) for i in range(10)])


@row
async def as_completed_10(n):
    for _ in range(n // 10):
        for one in asyncio.as_completed([number(i) for i in range(10)]):
            await one


@row
async def shield(n):
    for _ in range(n):
        await asyncio.shield(number(1))


@row
async def to_thread(n):
    """Most of it is the thread's, and the interpreter's."""
    for _ in range(n):
        await asyncio.to_thread(int)


async def stream_pair():
    one, other = socket.socketpair()
    return [await asyncio.open_connection(sock=sock) for sock in (one, other)]


@row
async def streams_handover(n):
    """Both ends in one loop, a message of 1 KiB there and back."""
    (reader, writer), (echo_reader, echo_writer) = await stream_pair()

    async def echo():
        for _ in range(n // 2):
            echo_writer.write(await echo_reader.readexactly(1024))
            await echo_writer.drain()

    task = asyncio.ensure_future(echo())
    for _ in range(n // 2):
        writer.write(b"x" * 1024)
        await writer.drain()
        await reader.readexactly(1024)
    await task
    writer.close()
    echo_writer.close()


@row
async def streams_readline(n):
    """Lines of 100 bytes, a hundred at a time."""
    (_, writer), (reader, reader_writer) = await stream_pair()
    for _ in range(n // 100):
        writer.write((b"x" * 99 + b"\n") * 100)
        await writer.drain()
        for _ in range(100):
            await reader.readline()
    writer.close()
    reader_writer.close()


@row
async def request_in_a_task(n):
    """What a server does for each request: a task, a timeout, a wait for a future, two writes."""
    loop = asyncio.get_running_loop()
    (_, writer), (reader, reader_writer) = await stream_pair()

    async def answer():
        async with asyncio.timeout(10):
            found = loop.create_future()
            loop.call_soon(found.set_result, None)
            await found
        writer.write(b"h" * 128)
        writer.write(b"b" * 896)

    for _ in range(n):
        task = loop.create_task(answer())
        await reader.readexactly(1024)
        await task
    writer.close()
    reader_writer.close()


def cut():
    os.getpriority(os.PRIO_PROCESS, 0)


def child():
    """Run every row between cuts; what is printed is in the order of callgrind's parts."""
    import gc

    import conbrio

    conbrio.install()
    with asyncio.Runner(loop_factory=conbrio.new_event_loop) as runner:
        for function in ROWS.values():
            runner.run(function(FEW))
            for number in (FEW, MANY):
                gc.collect()
                gc.disable()
                cut()
                runner.run(function(number))
                cut()
                gc.enable()


def count(python):
    """Return instructions per operation for each row."""
    with tempfile.TemporaryDirectory() as folder:
        argv = ["valgrind", "--tool=callgrind", f"--dump-before={CUT}", f"--callgrind-out-file={folder}/out",
                python, os.path.abspath(__file__), "--child"]
        environment = dict(os.environ, PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1")
        done = subprocess.run(argv, capture_output=True, text=True, env=environment)
        if done.returncode:
            sys.exit(done.stderr[-4000:])
        parts = []
        for path in sorted(pathlib.Path(folder).glob("out.*"), key=lambda path: int(path.suffix[1:])):
            found = re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.MULTILINE)
            parts.append(int(found.group(1)))
    # Each run lies between two cuts: the part that ends with the second is the run's.
    runs = parts[1::2]
    if len(runs) < 2 * len(ROWS):
        sys.exit(f"instructions: {len(parts)} parts, and {4 * len(ROWS)} were expected")
    pairs = zip(runs[0::2], runs[1::2])
    return {name: round((many - few) / (MANY - FEW)) for name, (few, many) in zip(ROWS, pairs)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--record", action="store_true", help="what is counted is the budget from now on")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child()
    if not shutil.which("valgrind"):
        print("instructions: valgrind is not here, so nothing was counted")
        return 0
    code = """import sys, hashlib, conbrio
guided = ", guided" if conbrio.build_info()["profile_guided"] else ""
print(sys.version.split()[0], hashlib.sha256(sys.version.encode()).hexdigest()[:6] + guided)
"""
    build = subprocess.run([given.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    budgets = json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}
    if not given.record and build not in budgets:
        print(f"instructions: no budget is recorded for this build ({build})")
        return 0
    counted, wrong = count(given.python), 0
    for name, number in counted.items():
        budget = budgets.get(build, {}).get(name)
        off = budget is not None and abs(number - budget) > LIMIT * budget
        wrong += off and not given.record
        print(f"{name:24} {number:8,d} {'' if budget is None else format(budget, '8,d')} {'beyond 5 %' if off else ''}")
    if given.record:
        budgets[build] = counted
        BUDGETS.write_text(json.dumps(budgets, indent=1, sort_keys=True) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
