"""Tutorial D, "making a TCP connection in an event handler".

connection_made is a plain function and must not block: it starts a
asyncio.Task(new_connection(host, port)), whose done callback gets the transport
of the other side.  The original leaves the forwarding out (....); ours keeps
what comes before the connection stands, forwards, and passes on pause / resume
and the end of either side.
"""
import asyncio

import _seed as seed


class Upper(asyncio.Protocol):
    """What stands behind the proxy."""
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data.upper())

    def eof_received(self):
        return False


async def new_connection(server_proto, host, port):
    loop = asyncio.get_running_loop()
    client_transport, client_proto = await loop.create_connection(
        lambda: ClientProtocol(server_proto), host, port)
    return client_transport, client_proto


class ClientProtocol(asyncio.Protocol):
    """The proxy's side towards what is behind it."""
    def __init__(self, server_proto):
        self.server_proto = server_proto

    def data_received(self, data):
        self.server_proto.transport.write(data)

    def connection_lost(self, exc):
        self.server_proto.transport.close()


class ServerProtocol(asyncio.Protocol):
    target = None
    seen = []

    def connection_made(self, transport):
        self.transport = transport
        self.early, self.client_transport = [], None
        self.eof = False
        self.client_task = asyncio.Task(new_connection(self, *self.target))
        self.client_task.add_done_callback(self.client_connect_done)
        self.seen.append("connection_made returns")

    def client_connect_done(self, future):
        if future.exception() is not None:
            self.seen.append(type(future.exception()).__name__)
            self.transport.abort()
            return
        self.client_transport, client_proto = future.result()
        self.seen.append("connected")
        self.client_transport.writelines(self.early)
        if self.eof:
            self.client_transport.write_eof()

    def data_received(self, data):
        if self.client_transport is None:
            self.early.append(data)
        else:
            self.client_transport.write(data)

    def eof_received(self):
        self.eof = True
        if self.client_transport is not None:
            self.client_transport.write_eof()
        return True

    def pause_writing(self):
        self.client_transport.pause_reading()

    def resume_writing(self):
        self.client_transport.resume_reading()


async def main():
    loop = asyncio.get_running_loop()
    behind = await loop.create_server(Upper, "127.0.0.1", 0)
    ServerProtocol.target = behind.sockets[0].getsockname()[:2]
    proxy = await loop.create_server(ServerProtocol, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]

    async def client(n, size):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"first words of %d " % n)           # may come before the other side stands
        writer.write(b"x" * size)
        writer.write_eof()
        text = await reader.read()
        writer.close()
        return text

    results = await asyncio.gather(*[client(n, 100000) for n in range(10)])
    seed.equal(results, [b"FIRST WORDS OF %d " % n + b"X" * 100000 for n in range(10)])
    seed.equal(ServerProtocol.seen.count("connected"), 10)

    # The other side is not there: the exception is in the task's future.
    ServerProtocol.seen.clear()
    behind.close()
    await behind.wait_closed()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        seed.equal(await reader.read(), b"")
    except ConnectionResetError:
        pass
    writer.close()
    seed.equal(ServerProtocol.seen, ["connection_made returns", "ConnectionRefusedError"])
    proxy.close()
    await proxy.wait_closed()


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
