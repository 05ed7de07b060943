"""Tutorial B sets asyncio and gevent side by side; here both are
on one loop.  One thread, one loop: greenlets and tasks interleave,
each waits for the other, sockets of both kinds talk to each other.

CONBRIO_GEVENT names the module under test (default: proofs.gevent_on_asyncio,
which runs on any asyncio loop).  It gives Loop (gevent's loop class), wait(),
in_greenlet(), as_future(), event_loop().
"""
import importlib
import os
import sys

import _seed as seed
from _seed import S, print

gevent = seed.need("gevent")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
bridge = importlib.import_module(os.environ.get("CONBRIO_GEVENT", "proofs.gevent_on_asyncio"))
gevent.config.loop = bridge.Loop

import asyncio                                     # noqa: E402
import time                                        # noqa: E402

from gevent import socket as gsocket               # noqa: E402


def main():
    aio = bridge.event_loop()
    want = seed.loop_class()
    seed.check(isinstance(aio, want) or type(aio) is want, "the loop under test is below")

    # 1. A coroutine run from the main greenlet, greenlets beside it.
    def worker(name):
        for i in range(3):
            print(name, i)
            gevent.sleep(S(1))
        return name

    async def task(name):
        for i in range(3):
            print(name, i)
            await asyncio.sleep(S(1))
        return name

    with seed.timed(3, "two greenlets and two tasks together"):
        jobs = [gevent.spawn(worker, "greenlet1"), gevent.spawn(worker, "greenlet2")]

        async def both():
            return await asyncio.gather(task("task1"), task("task2"))

        seed.equal(aio.run_until_complete(both()), ["task1", "task2"])
        gevent.joinall(jobs)
    seed.equal([j.value for j in jobs], ["greenlet1", "greenlet2"])
    lines = seed.lines()
    for i in range(3):
        seed.equal(sorted(lines[4 * i:4 * i + 4]),
                   ["greenlet1 %d" % i, "greenlet2 %d" % i, "task1 %d" % i, "task2 %d" % i])
    seed.clear()

    # 2. A greenlet waits for a coroutine; the loop goes on.
    async def slow(value):
        await asyncio.sleep(S(1))
        return value

    def greenlet_waits(value):
        return bridge.wait(slow(value))

    with seed.timed(1, "ten greenlets wait for ten coroutines"):
        jobs = [gevent.spawn(greenlet_waits, n) for n in range(10)]
        gevent.joinall(jobs, raise_error=True)
    seed.equal([j.value for j in jobs], list(range(10)))

    async def fails():
        raise LookupError("across")

    with seed.raises(LookupError, "across"):
        bridge.wait(fails())

    # 3. A coroutine waits for blocking gevent code.
    def blocking(value):
        gevent.sleep(S(1))
        return value

    async def coroutine_waits():
        return await asyncio.gather(*[bridge.in_greenlet(blocking, n) for n in range(10)])

    with seed.timed(1, "ten coroutines wait for ten greenlets"):
        seed.equal(aio.run_until_complete(coroutine_waits()), list(range(10)))

    # 4. Cancelling and killing go across.
    ended = []

    def kept():
        try:
            gevent.sleep(S(60))
        except gevent.GreenletExit:
            ended.append("killed")
            raise

    async def cancels():
        job = asyncio.ensure_future(bridge.in_greenlet(kept))
        await asyncio.sleep(S(0.2))
        job.cancel()
        with seed.raises(asyncio.CancelledError):
            await job
        await asyncio.sleep(S(0.1))

    aio.run_until_complete(cancels())
    seed.equal(ended, ["killed"])

    async def sleeps():
        try:
            await asyncio.sleep(S(60))
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    g = gevent.spawn(bridge.wait, sleeps())
    gevent.sleep(S(0.2))
    g.kill()
    gevent.sleep(S(0.1))
    seed.equal(ended, ["killed", "cancelled"])

    with seed.raises(gevent.Timeout):
        with gevent.Timeout(S(0.5)):
            bridge.wait(asyncio.sleep(S(60)))

    # 5. An asyncio server, gevent clients in the same thread; and the other way.
    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data.upper())

    server = bridge.wait(aio.create_server(Echo, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]

    def client(n):
        s = gsocket.create_connection(("127.0.0.1", port))
        s.sendall(b"hello %d" % n)
        data = s.recv(100)
        s.close()
        return data

    jobs = [gevent.spawn(client, n) for n in range(20)]
    gevent.joinall(jobs, raise_error=True)
    seed.equal([j.value for j in jobs], [b"HELLO %d" % n for n in range(20)])
    server.close()

    from gevent.server import StreamServer

    def handle(s, address):
        while True:
            data = s.recv(100)
            if not data:
                return
            s.sendall(data[::-1])

    gserver = StreamServer(("127.0.0.1", 0), handle)
    gserver.start()

    async def stream(n):
        reader, writer = await asyncio.open_connection("127.0.0.1", gserver.server_port)
        writer.write(b"abc%d" % n)
        data = await reader.read(100)
        writer.close()
        return data

    async def streams():
        return await asyncio.gather(*[stream(n) for n in range(10)])

    seed.equal(aio.run_until_complete(streams()), [b"%dcba" % n for n in range(10)])
    gserver.stop()

    # 6. How fast: switches through the hub and turns of the loop, side by side.
    counts = [0, 0]

    def spin():
        while time.monotonic() < end:
            counts[0] += 1
            gevent.sleep(0)

    async def aspin():
        while time.monotonic() < end:
            counts[1] += 1
            await asyncio.sleep(0)

    end = time.monotonic() + 0.3
    g = gevent.spawn(spin)
    bridge.wait(aspin())
    g.join()
    seed.check(min(counts) > 1000 and max(counts) < 3 * min(counts), "fair: %r" % counts)
    print("switches in 0.3 s: greenlet %d, task %d" % tuple(counts))


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
