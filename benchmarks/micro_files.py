"""In-process workloads: file descriptors, streams in process, processes and names."""
import asyncio
import os
import socket

from workload import micro, now


# ---------------------------------------------------------------- file descriptors, in process
@micro(50_000, group="fd")
async def add_reader(loop, n):
    """reader callback reads one byte and writes the next one (pipe)"""
    r, w = os.pipe()
    os.set_blocking(r, False)
    fut, left = loop.create_future(), n

    def cb():
        nonlocal left
        os.read(r, 1)
        left -= 1
        if left:
            os.write(w, b"x")
        else:
            fut.set_result(None)

    loop.add_reader(r, cb)
    t = now()
    os.write(w, b"x")
    await fut
    t = now() - t
    loop.remove_reader(r)
    await asyncio.sleep(0)
    os.close(r)
    os.close(w)
    return t


@micro(50_000, group="fd")
async def add_remove_reader(loop, n):
    """add_reader then remove_reader on an idle socket, 50 per loop turn"""
    a, b = socket.socketpair()
    a.setblocking(False)
    fd = a.fileno()

    def cb():
        pass

    t = now()
    for _ in range(n // 50):
        for _ in range(50):
            loop.add_reader(fd, cb)
            loop.remove_reader(fd)
        await asyncio.sleep(0)
    t = now() - t
    a.close()
    b.close()
    return t


@micro(30_000, group="fd")
async def sock_inproc_pingpong(loop, n):
    """sock_sendall/sock_recv of 1 KiB between two tasks over a socketpair; per hop"""
    a, b = socket.socketpair()
    a.setblocking(False)
    b.setblocking(False)
    msg = b"x" * 1024

    async def echo(k):
        for _ in range(k):
            await loop.sock_sendall(b, await loop.sock_recv(b, 65536))

    k = n // 2
    e = asyncio.ensure_future(echo(k))
    t = now()
    for _ in range(k):
        await loop.sock_sendall(a, msg)
        await loop.sock_recv(a, 65536)
    t = now() - t
    await e
    for s in (a, b):
        if hasattr(loop, "_forget"):
            loop._forget(s)
        s.close()
    return t


class _Sink(asyncio.Protocol):
    pass


@micro(20_000, group="fd")
async def streams_inproc_pingpong(loop, n):
    """streams of 1 KiB between two tasks over a socketpair; per hop"""
    a, b = socket.socketpair()
    ra, wa = await asyncio.open_connection(sock=a)
    rb, wb = await asyncio.open_connection(sock=b)
    msg = b"x" * 1024

    async def echo(k):
        for _ in range(k):
            wb.write(await rb.readexactly(1024))
            await wb.drain()

    k = n // 2
    e = asyncio.ensure_future(echo(k))
    t = now()
    for _ in range(k):
        wa.write(msg)
        await wa.drain()
        await ra.readexactly(1024)
    t = now() - t
    await e
    wa.close()
    wb.close()
    await asyncio.sleep(0.01)
    return t


# ---------------------------------------------------------------- processes, names
@micro(60, group="proc", cpus="0,1", reps=3)
async def subprocess_spawn(loop, n):
    """create_subprocess_exec('/bin/true') and wait, one at a time"""
    t = now()
    for _ in range(n):
        p = await asyncio.create_subprocess_exec("/bin/true")
        await p.wait()
    return now() - t


@micro(60, group="proc", cpus="0,1", reps=3)
async def subprocess_pipe(loop, n):
    """create_subprocess_exec('/bin/cat') with communicate() of 64 KiB"""
    data = b"x" * 65536
    pipe = asyncio.subprocess.PIPE
    t = now()
    for _ in range(n):
        p = await asyncio.create_subprocess_exec("/bin/cat", stdin=pipe, stdout=pipe)
        out, _ = await p.communicate(data)
        assert len(out) == 65536
    return now() - t


@micro(60, group="proc", cpus="0,1", outside=True, reps=3)
def subprocess_floor(loop, n):
    """the same as subprocess_spawn by plain subprocess.run (posix_spawn/vfork), no loop"""
    import subprocess

    t = now()
    for _ in range(n):
        subprocess.run(["/bin/true"])
    return now() - t


@micro(5_000, group="proc", cpus="0,1")
async def getaddrinfo_numeric(loop, n):
    """loop.getaddrinfo('127.0.0.1', 80)"""
    t = now()
    for _ in range(n):
        await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    return now() - t


@micro(1_000, group="fd", cpus="0,1")
async def connect_close_inproc(loop, n):
    """open_connection + close against a server on the same loop"""
    class P(asyncio.Protocol):
        def connection_made(self, tr):
            tr.close()

    srv = await loop.create_server(P, "127.0.0.1", 0)
    port = srv.sockets[0].getsockname()[1]
    t = now()
    for _ in range(n):
        r, w = await asyncio.open_connection("127.0.0.1", port)
        await r.read()
        w.close()
    t = now() - t
    srv.close()
    return t
