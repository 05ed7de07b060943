"""Tutorial D, third echo server: asyncio.Protocol.

create_server(EchoProtocol, host, port) given to the loop as a task (the
original's asyncio.async(srv) is ensure_future, its name a keyword since 3.7),
then run_forever().  connection_lost closes the transport once more, as there.
"""
import asyncio
import socket
import threading

import _seed as seed

events = []


class EchoProtocol(asyncio.Protocol):
    def connection_made(self, transport):
        events.append("made")
        self.transport = transport

    def connection_lost(self, exc):
        events.append("lost")
        seed.check(exc is None)
        self.transport.close()

    def data_received(self, data):
        seed.check(type(data) is bytes)
        self.transport.write(data)


def clients(loop, port):
    try:
        conns = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        for size in (1, 1000, 100000):
            for n, c in enumerate(conns):
                c.sendall(bytes([65 + n]) * size)
            for n, c in enumerate(conns):
                got = b""
                while len(got) < size:
                    got += c.recv(size - len(got))
                seed.equal(got, bytes([65 + n]) * size)
        for c in conns:
            c.close()
    except BaseException as e:
        events.append(e)
    loop.call_soon_threadsafe(loop.call_later, 0.1, loop.stop)


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    srv = loop.create_server(EchoProtocol, "127.0.0.1", 0)
    with seed.quiet():
        task = asyncio.ensure_future(srv)

    def started(task):
        server = task.result()
        seed.check(server.is_serving() and server.get_loop() is loop)
        port = server.sockets[0].getsockname()[1]
        threading.Thread(target=clients, args=(loop, port)).start()

    task.add_done_callback(started)
    loop.run_forever()
    seed.equal(events, ["made"] * 10 + ["lost"] * 10)
    server = task.result()
    server.close()
    loop.run_until_complete(server.wait_closed())
    seed.check(not server.is_serving())
    loop.close()


if __name__ == "__main__":
    seed.run(main)
