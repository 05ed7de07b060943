"""In-process workloads: floors in C without a loop, and gevent."""
import asyncio

from workload import micro, noop, now


# ---------------------------------------------------------------- bare floors (C extension only)
def _floor():
    import floorloop

    return floorloop


@micro(500_000, group="bare", outside=True)
def bare_callback(loop, n):
    """C loop: call an empty Python function"""
    def cb():
        pass

    return _floor().bare_call(cb, n)


@micro(500_000, group="bare", outside=True)
def bare_callback_ctx(loop, n):
    """C loop: copy a context, enter it, call, leave"""
    def cb():
        pass

    return _floor().bare_call_ctx(cb, n)


@micro(300_000, group="bare", outside=True)
def bare_send_sleep0(loop, n):
    """C loop: PyIter_Send a coroutine that awaits asyncio.sleep(0) n times"""
    async def w(n):
        sleep = asyncio.sleep
        for _ in range(n):
            await sleep(0)

    return _floor().bare_send(w(n))


@micro(300_000, group="bare", outside=True)
def bare_coroutine(loop, n):
    """C loop: make noop() and send it to its end"""
    return _floor().bare_spawn(noop, n)


# ---------------------------------------------------------------- gevent
def _gevent(f):
    f.gevent = True
    return f


@_gevent
@micro(50_000, group="gevent", outside=True)
def g_spawn(_, n):
    """gevent.spawn(noop).join()"""
    import gevent

    def f():
        pass

    t = now()
    for _ in range(n):
        gevent.spawn(f).join()
    return now() - t


@_gevent
@micro(50_000, group="gevent", outside=True)
def g_spawn_batch(_, n):
    """spawn 1,000, joinall"""
    import gevent

    def f():
        pass

    t = now()
    for _ in range(n // 1000):
        gevent.joinall([gevent.spawn(f) for _ in range(1000)])
    return now() - t


@_gevent
@micro(100_000, group="gevent", outside=True)
def g_sleep0(_, n):
    """gevent.sleep(0) in 100 greenlets"""
    import gevent

    def w(k):
        for _ in range(k):
            gevent.sleep(0)

    t = now()
    gevent.joinall([gevent.spawn(w, n // 100) for _ in range(100)])
    return now() - t


@_gevent
@micro(50_000, group="gevent", outside=True)
def g_queue_pingpong(_, n):
    """two gevent queues, two greenlets; per message"""
    import gevent
    from gevent.queue import Queue

    a, b = Queue(1), Queue(1)

    def echo(k):
        for _ in range(k):
            b.put(a.get())

    k = n // 2
    e = gevent.spawn(echo, k)
    t = now()
    for i in range(k):
        a.put(i)
        b.get()
    t = now() - t
    e.join()
    return t


@_gevent
@micro(50_000, group="gevent", outside=True)
def g_event_pingpong(_, n):
    """two gevent Events; per wake"""
    import gevent
    from gevent.event import Event

    a, b = Event(), Event()

    def w(k):
        for _ in range(k):
            a.wait()
            a.clear()
            b.set()

    k = n // 2
    x = gevent.spawn(w, k)
    t = now()
    for _ in range(k):
        a.set()
        b.wait()
        b.clear()
    t = now() - t
    x.join()
    return t


@_gevent
@micro(20_000, group="gevent", outside=True)
def g_timeout(_, n):
    """with gevent.Timeout(10): sleep(0)"""
    import gevent

    t = now()
    for _ in range(n):
        with gevent.Timeout(10):
            gevent.sleep(0)
    return now() - t


@_gevent
@micro(20_000, group="gevent", outside=True)
def g_socket_pingpong(_, n):
    """gevent socket send/recv of 1 KiB over a socketpair; per hop"""
    import gevent
    from gevent import socket as gs

    a, b = gs.socketpair()
    msg = b"x" * 1024

    def echo(k):
        for _ in range(k):
            b.sendall(b.recv(65536))

    k = n // 2
    e = gevent.spawn(echo, k)
    t = now()
    for _ in range(k):
        a.sendall(msg)
        a.recv(65536)
    t = now() - t
    e.join()
    a.close()
    b.close()
    return t


@_gevent
@micro(500_000, group="gevent", outside=True)
def g_switch(_, n):
    """bare greenlet.switch there and back; per switch (the floor of the rows above)"""
    import greenlet

    main = greenlet.getcurrent()

    def w():
        s = main.switch
        while True:
            s()

    g = greenlet.greenlet(w)
    s = g.switch
    s()
    t = now()
    for _ in range(n // 2):
        s()
    return now() - t
