"""Tutorial D, 0MQ again, for a loop that keeps its own poller.

zmq.asyncio sockets (send, recv, poll, a REQ / REP pair, cancellation) and, by
hand, the descriptor a 0MQ socket shows (zmq.FD): it is edge-triggered, so the
reader must go on until EVENTS says there is no more, and must look again after
every send.
"""
import asyncio
import warnings

import _seed as seed
from _seed import S

zmq = seed.need("zmq")
import zmq.asyncio                                 # noqa: E402


async def with_zmq_asyncio():
    with zmq.asyncio.Context() as context:
        server = context.socket(zmq.REP)
        port = server.bind_to_random_port("tcp://127.0.0.1")

        async def serve():
            while True:
                parts = await server.recv_multipart()
                await server.send_multipart([p.upper() for p in parts])

        task = asyncio.create_task(serve())

        async def client(n):
            sock = context.socket(zmq.REQ)
            sock.connect("tcp://127.0.0.1:%d" % port)
            for i in range(20):
                await sock.send_multipart([b"client %d" % n, b"%d" % i])
                seed.equal(await sock.recv_multipart(), [b"CLIENT %d" % n, b"%d" % i])
            sock.close(0)

        await asyncio.wait_for(asyncio.gather(*[client(n) for n in range(5)]), 60)

        puller, pusher = context.socket(zmq.PULL), context.socket(zmq.PUSH)
        port = puller.bind_to_random_port("tcp://127.0.0.1")
        pusher.connect("tcp://127.0.0.1:%d" % port)
        with seed.timed(0.5, "poll with a timeout"):
            seed.equal(await puller.poll(int(S(0.5) * 1000)), 0)
        with seed.raises(asyncio.TimeoutError):
            await asyncio.wait_for(puller.recv(), S(0.2))
        for n in range(1000):                      # a burst: one edge, many messages
            await pusher.send(b"%d" % n)
        for n in range(1000):
            seed.equal(await asyncio.wait_for(puller.recv(), 30), b"%d" % n)
        task.cancel()
        for s in (server, puller, pusher):
            s.close(0)


async def by_hand():
    loop = asyncio.get_running_loop()
    context = zmq.Context()
    a, b = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    port = a.bind_to_random_port("tcp://127.0.0.1")
    b.connect("tcp://127.0.0.1:%d" % port)
    got, calls = [], []
    finished = loop.create_future()

    def edge():
        calls.append(1)
        while b.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            got.append(b.recv(zmq.NOBLOCK))
        if len(got) == 500 and not finished.done():
            finished.set_result(None)

    fd = b.getsockopt(zmq.FD)
    loop.add_reader(fd, edge)
    for n in range(500):
        a.send(b"%d" % n)
    await asyncio.wait_for(finished, 30)
    seed.equal(got, [b"%d" % n for n in range(500)])
    loop.remove_reader(fd)
    a.close(0)
    b.close(0)
    context.term()


async def main():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        await with_zmq_asyncio()
    await by_hand()


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
