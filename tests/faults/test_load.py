"""Ten thousand connections, a hundred thousand timers, a million callbacks."""

import asyncio
import random
import resource
import time

import pytest

from loopkit import children, peers

CONNECTIONS = 10_000
SPARE = 200


CLIENTS = """
import resource, socket
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, ({needed}, hard))
clients = []
for number in range({connections}):
    client = socket.socket()
    client.bind(("127.0.0.%d" % (2 + number // 5000), 0))
    client.connect(("127.0.0.1", {port}))
    clients.append(client)
for client in clients:
    client.sendall(b"hello")
for client in clients:
    assert client.recv(10) == b"hello"
print("answered", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def room():
    """Raise the limit of descriptors to what the connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CONNECTIONS + SPARE
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"needs {needed} descriptors; the limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_ten_thousand_connections(run, room):
    """All are answered, idle ones cost no time, and all end when their peer does."""

    async def main():
        loop = asyncio.get_running_loop()
        opened = set()

        class Echo(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
                opened.add(self)

            def data_received(self, data):
                self.transport.write(data)

            def connection_lost(self, exc):
                opened.discard(self)
                if not opened:
                    gone.set()

        gone = asyncio.Event()
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=1000)
        port = server.sockets[0].getsockname()[1]
        program = CLIENTS.format(needed=CONNECTIONS + SPARE, connections=CONNECTIONS, port=port)
        child = children.start(program)
        said = await loop.run_in_executor(None, child.stdout.readline)
        count = len(opened)
        began = time.process_time()
        await asyncio.sleep(0.2)
        idle = time.process_time() - began
        ended = loop.run_in_executor(None, children.finish, child)
        await gone.wait()
        server.close()
        await server.wait_closed()
        return said, count, idle < 0.1, await ended

    assert run(main()) == ("answered\n", CONNECTIONS, True, (0, "", ""))


@pytest.mark.slow
def test_a_hundred_thousand_sleepers(run):
    async def main():
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(asyncio.sleep(3600 + number)) for number in range(100_000)]
        await asyncio.sleep(0)
        began = loop.time()
        for _ in range(100):
            await asyncio.sleep(0.0005)
        passed = loop.time() - began
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        return passed, sum(isinstance(end, asyncio.CancelledError) for end in ends)

    passed, cancelled = run(main())
    assert passed < 5
    assert cancelled == 100_000


@pytest.mark.slow
def test_a_million_callbacks_in_one_turn(loop):
    count = 0

    def add():
        nonlocal count
        count += 1

    for _ in range(1_000_000):
        loop.call_soon(add)
    loop.stop()
    loop.run_forever()
    assert count == 1_000_000


@pytest.mark.slow
def test_many_callbacks_from_another_thread(loop):
    import threading

    heard = []

    def call():
        for number in range(200_000):
            loop.call_soon_threadsafe(heard.append, number)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=call)
    thread.start()
    loop.run_forever()
    thread.join()
    assert heard == list(range(200_000))


@pytest.mark.slow
def test_much_data_over_many_connections(run):
    async def main():
        async def echo(reader, writer):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        async def ask(number):
            reader, writer = await asyncio.open_connection(*where)
            data = bytes([number % 256]) * 1_000_003

            async def send():
                for start in range(0, len(data), 70_001):
                    writer.write(data[start : start + 70_001])
                    await writer.drain()
                writer.write_eof()

            sending = asyncio.create_task(send())
            heard = await reader.read()
            await sending
            writer.close()
            await writer.wait_closed()
            return heard == data

        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            where = server.sockets[0].getsockname()
            return await asyncio.gather(*map(ask, range(50)))

    assert run(main()) == [True] * 50


@pytest.mark.slow
def test_random_conversations(run):
    """Clients that write, read, pause and close at random: every byte that was owed arrives, and nothing is complained of."""

    async def main():
        loop = asyncio.get_running_loop()
        dice, complaints = random.Random(5), []
        loop.set_exception_handler(lambda _, context: complaints.append(context))

        async def converse(seed):
            dice = random.Random(seed)
            near, far = dice.choice([peers.tcp_pair, peers.unix_pair])()
            make = dice.choice([peers.Recorder, peers.BufferedRecorder])
            transport, protocol = await loop.create_connection(make, sock=near)
            sent = bytearray()
            heard = bytearray()
            owed = bytearray()
            for _ in range(dice.randrange(60)):
                deed = dice.randrange(7)
                if deed == 0:
                    piece = dice.randbytes(dice.choice([1, 10, 1000, 50_000]))
                    await loop.sock_sendall(far, piece) if len(sent) < 60_000 else None
                    sent += piece if len(sent) < 60_000 else b""
                elif deed in (1, 2):
                    piece = dice.randbytes(dice.choice([0, 1, 10, 1000, 300_000]))
                    transport.write(piece)
                    owed += piece
                elif deed == 3:
                    pieces = [dice.randbytes(5) for _ in range(dice.randrange(100))]
                    transport.writelines(pieces)
                    owed += b"".join(pieces)
                elif deed == 4:
                    dice.choice([transport.pause_reading, transport.resume_reading])()
                elif deed == 5:
                    await asyncio.sleep(0)
                elif len(heard) < len(owed):
                    heard += await loop.sock_recv(far, dice.choice([1, 1000, 100_000]))
                if deed == 0 and len(sent) > 100_000:
                    break
            transport.resume_reading()
            if hasattr(protocol, "received"):
                assert await asyncio.wait_for(protocol.received(len(sent)), 30) == bytes(sent)
            transport.close()
            heard += await peers.read_all(loop, far)
            assert heard == owed
            await protocol.lost
            far.close()

        for _ in range(10):
            await asyncio.gather(*(converse(dice.random()) for _ in range(20)))
        assert complaints == []

    run(main())
