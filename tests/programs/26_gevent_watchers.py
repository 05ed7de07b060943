"""Tutorial B, "Libev": register an event of a descriptor, the
loop calls back when it comes.  gevent's own watcher interface (hub.loop), which
a loop of ours under gevent has to give: io, timer, prepare/check/idle, async
from another thread, child, signal, run_callback.
"""
import os
import signal
import socket
import threading
import time

import _seed as seed
from _seed import S, print

gevent = seed.need("gevent")
from gevent.subprocess import Popen                # noqa: E402


def main():
    hub = gevent.get_hub()
    loop = hub.loop
    READ, WRITE = 1, 2

    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    got = []
    io = loop.io(a.fileno(), READ)
    io.start(lambda: got.append(a.recv(10)))
    seed.check(io.active)
    gevent.sleep(S(0.1))
    seed.equal(got, [], "nothing to read, no call")
    b.send(b"event")
    gevent.sleep(S(0.1))
    seed.equal(got, [b"event"])
    io.stop()
    b.send(b"later")
    gevent.sleep(S(0.1))
    seed.equal(got, [b"event"], "stopped")
    io.close()
    a.recv(10)

    # Level-triggered: a callback that leaves data behind is called again.
    calls = []
    io = loop.io(a.fileno(), READ)
    b.send(b"abc")

    def one_byte():
        calls.append(a.recv(1))
        if len(calls) == 3:
            io.stop()

    io.start(one_byte)
    gevent.sleep(S(0.2))
    seed.equal(calls, [b"a", b"b", b"c"])
    io.close()

    w = loop.io(a.fileno(), WRITE)
    seen = []
    w.start(lambda: (seen.append("writable"), w.stop()))
    gevent.sleep(S(0.1))
    seed.equal(seen, ["writable"])
    w.close()

    fired = []
    t0 = time.monotonic()
    one = loop.timer(S(1))
    one.start(lambda: fired.append(time.monotonic() - t0))
    many = loop.timer(S(0.3), S(0.3))
    ticks = []
    many.start(lambda: ticks.append(1))
    gevent.sleep(S(1.4))
    seed.equal(len(fired), 1)
    seed.bound(fired[0], S(1), "timer")
    seed.check(3 <= len(ticks) <= 5, "repeating timer: %d" % len(ticks))
    for x in (one, many):
        x.stop()
        x.close()

    order = []
    loop.run_callback(order.append, "first")
    loop.run_callback(order.append, "second")
    gevent.sleep(0)
    gevent.sleep(0)
    seed.equal(order, ["first", "second"], "run_callback in order")

    wake = loop.async_()
    woken = threading.Event()
    wake.start(woken.set)
    thread = threading.Thread(target=lambda: (time.sleep(S(0.5)), wake.send()))
    with seed.timed(0.5, "async_.send() from another thread"):
        thread.start()
        while not woken.is_set():
            gevent.sleep(S(0.01))
    wake.stop()
    wake.close()
    thread.join()

    sig = loop.signal(signal.SIGUSR1)
    hits = []
    sig.start(lambda: hits.append("USR1"))
    os.kill(os.getpid(), signal.SIGUSR1)
    gevent.sleep(S(0.2))
    seed.equal(hits, ["USR1"])
    sig.stop()
    sig.close()

    p = Popen(["/bin/sh", "-c", "exit 7"])
    with gevent.Timeout(30):
        seed.equal(p.wait(), 7, "child watcher")
    for s in (a, b):
        s.close()
    print("watchers of", type(loop).__module__, type(loop).__name__)


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
