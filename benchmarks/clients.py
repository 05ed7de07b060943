"""Client workloads: Python on the loop under test; the other side is the C echo server.

A client is ``async def c(loop, opt, addr)``; it returns operations in a second.
"""
import asyncio
import socket


async def rate_of(loop, opt, count):
    """operations a second during opt['time'], after a moment of warming up; count() tells how many there were"""
    await asyncio.sleep(0.3)
    begun, before = loop.time(), count()
    await asyncio.sleep(opt["time"])
    return (count() - before) / (loop.time() - begun)


async def c_streams_echo(loop, opt, addr):
    """opt['conns'] clients by streams against the C echo server; -> ops in opt['time'] s"""
    host, port, size = "127.0.0.1", int(addr.rsplit(":", 1)[1]), opt["size"]
    msg, ops, stop = b"x" * size, 0, False

    async def one():
        nonlocal ops
        r, w = await asyncio.open_connection(host, port, limit=1 << 20)
        while not stop:
            w.write(msg)
            await w.drain()
            await r.readexactly(size)
            ops += 1
        w.close()

    ts = [asyncio.ensure_future(one()) for _ in range(opt["conns"])]
    rate = await rate_of(loop, opt, lambda: ops)
    stop = True
    await asyncio.gather(*ts)
    return rate


async def c_proto_echo(loop, opt, addr):
    host, port, size = "127.0.0.1", int(addr.rsplit(":", 1)[1]), opt["size"]
    msg, ops, trs = b"x" * size, 0, []

    class P(asyncio.Protocol):
        def connection_made(self, tr):
            self.tr, self.got = tr, 0
            tr.write(msg)

        def data_received(self, data):
            nonlocal ops
            self.got += len(data)
            if self.got >= size:
                self.got -= size
                ops += 1
                self.tr.write(msg)

    for _ in range(opt["conns"]):
        trs.append((await loop.create_connection(P, host, port))[0])
    rate = await rate_of(loop, opt, lambda: ops)
    for tr in trs:
        tr.abort()
    return rate


async def c_sock_echo(loop, opt, addr):
    port, size = int(addr.rsplit(":", 1)[1]), opt["size"]
    msg, ops, stop = b"x" * size, 0, False

    async def one():
        nonlocal ops
        s = socket.socket()
        s.setblocking(False)
        await loop.sock_connect(s, ("127.0.0.1", port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not stop:
            await loop.sock_sendall(s, msg)
            got = 0
            while got < size:
                got += len(await loop.sock_recv(s, 65536))
            ops += 1
        if hasattr(loop, "_forget"):
            loop._forget(s)
        s.close()

    ts = [asyncio.ensure_future(one()) for _ in range(opt["conns"])]
    rate = await rate_of(loop, opt, lambda: ops)
    stop = True
    await asyncio.gather(*ts)
    return rate


async def c_connect(loop, opt, addr):
    """open a connection, one echo, close; opt['conns'] at a time"""
    port, ops, stop = int(addr.rsplit(":", 1)[1]), 0, False
    import struct

    rst = struct.pack("ii", 1, 0)

    async def one():
        nonlocal ops
        while not stop:
            r, w = await asyncio.open_connection("127.0.0.1", port)
            w.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, rst)
            w.write(b"x")
            await r.readexactly(1)
            w.transport.abort()
            ops += 1

    ts = [asyncio.ensure_future(one()) for _ in range(opt["conns"])]
    rate = await rate_of(loop, opt, lambda: ops)
    stop = True
    await asyncio.gather(*ts)
    return rate


async def c_aiohttp(loop, opt, addr):
    """aiohttp client GET against the C http server"""
    import aiohttp

    port, ops, stop = int(addr.rsplit(":", 1)[1]), 0, False
    url = "http://127.0.0.1:%d/" % port
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as s:
        async def one():
            nonlocal ops
            while not stop:
                async with s.get(url) as r:
                    await r.read()
                ops += 1

        ts = [asyncio.ensure_future(one()) for _ in range(opt["conns"])]
        rate = await rate_of(loop, opt, lambda: ops)
        stop = True
        await asyncio.gather(*ts)
    return rate
