"""create_connection: names, several addresses, happy eyeballs, and what goes wrong."""

import asyncio
import gc
import re
import socket
import sys

import pytest

from loopkit import leaks, peers
from loopkit.peers import Recorder

DEAD = "127.9.9.9"


@pytest.fixture
def listener():
    """A plain listening socket that accepts nobody by itself."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


def resolve_to(loop, *hosts):
    """Make every name mean ``hosts``, in this order."""

    async def getaddrinfo(host, port, **_):
        return [
            (
                socket.AF_INET6 if ":" in each else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (each, port),
            )
            for each in hosts
        ]

    loop.getaddrinfo = getaddrinfo


async def end(transport, protocol):
    """Close a connection and wait for its end."""
    transport.abort()
    await protocol.lost


def test_connect(run, listener):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, *listener.getsockname())
        accepted, where = listener.accept()
        assert transport.get_extra_info("sockname") == where
        assert transport.get_extra_info("peername") == listener.getsockname()
        assert protocol.calls == ["made"]
        accepted.send(b"hello")
        assert await protocol.received(5) == b"hello"
        accepted.close()
        await protocol.lost

    run(main())


def test_connect_by_name_and_string_port(run, listener):
    async def main():
        loop = asyncio.get_running_loop()
        port = str(listener.getsockname()[1])
        await end(*await loop.create_connection(Recorder, "localhost", port))

    run(main())


def test_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        port = peers.free_port()
        with pytest.raises(
            ConnectionRefusedError, match=rf"Connect call failed \('127.0.0.1', {port}\)"
        ):
            await loop.create_connection(Recorder, "127.0.0.1", port)

    run(main())


def test_the_first_address_that_answers_wins(run, listener):
    async def main():
        loop = asyncio.get_running_loop()
        resolve_to(loop, DEAD, "127.0.0.1")
        transport, protocol = await loop.create_connection(
            Recorder, "example.invalid", listener.getsockname()[1]
        )
        assert transport.get_extra_info("peername") == listener.getsockname()
        await end(transport, protocol)

    run(main())


def test_all_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        resolve_to(loop, "127.0.0.1", "127.0.0.2")
        port = peers.free_port()
        with pytest.raises(OSError, match=r"Multiple exceptions|Connect call failed") as caught:
            await loop.create_connection(Recorder, "example.invalid", port)
        if sys.version_info >= (3, 12):
            with pytest.raises(ExceptionGroup) as group:
                await loop.create_connection(Recorder, "example.invalid", port, all_errors=True)
            assert [type(each) for each in group.value.exceptions] == [ConnectionRefusedError] * 2
        return str(caught.value)

    run(main())


def test_happy_eyeballs(run, listener):
    """A silent address does not hold up the next one for longer than the delay."""

    async def main():
        loop = asyncio.get_running_loop()
        resolve_to(loop, DEAD, "127.0.0.1")
        connect = loop.sock_connect
        tried = []

        async def sock_connect(sock, address):
            tried.append(address[0])
            if address[0] == DEAD:
                await asyncio.sleep(60)
            return await connect(sock, address)

        loop.sock_connect = sock_connect
        began = loop.time()
        transport, protocol = await loop.create_connection(
            Recorder, "example.invalid", listener.getsockname()[1], happy_eyeballs_delay=0.02
        )
        seconds = loop.time() - began
        await end(transport, protocol)
        return tried, seconds < 10

    assert run(main()) == ([DEAD, "127.0.0.1"], True)


def test_interleave(run, listener):
    async def main():
        loop = asyncio.get_running_loop()
        resolve_to(loop, "::1", "::2", "::3", "127.0.0.1")
        tried = []

        async def sock_connect(sock, address):
            tried.append(address[0])
            raise ConnectionRefusedError("no")

        loop.sock_connect = sock_connect
        with pytest.raises(OSError, match="no"):
            await loop.create_connection(Recorder, "example.invalid", 80, interleave=2)
        return tried

    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    assert run(main()) == ["::1", "::2", "127.0.0.1", "::3"]


def test_local_address(run, listener):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(
            Recorder, *listener.getsockname(), local_addr=("127.0.0.5", 0)
        )
        host = transport.get_extra_info("sockname")[0]
        await end(transport, protocol)
        with pytest.raises(OSError, match="error while attempting to bind on address"):
            await loop.create_connection(
                Recorder, *listener.getsockname(), local_addr=("192.0.2.1", 0)
            )
        return host

    assert run(main()) == "127.0.0.5"


def test_wrong_arguments(same):
    def scenario(loop):
        async def main():
            ends = []
            near, far = peers.tcp_pair()
            datagram = socket.socket(type=socket.SOCK_DGRAM)
            for args, options in (
                ([], {}),
                (["h", 1], {"sock": near}),
                ([], {"sock": datagram}),
                (["h", 1], {"server_hostname": "x"}),
                ([], {"ssl": True}),
                (["h", 1], {"ssl_handshake_timeout": 1}),
                (["h", 1], {"ssl_shutdown_timeout": 1}),
            ):
                try:
                    await loop.create_connection(Recorder, *args, **options)
                except ValueError as error:
                    ends.append(error)
            for each in (near, far, datagram):
                each.close()
            return [re.sub(r"\d+", "N", str(end)) for end in ends]

        return main()

    assert len(same(scenario)) == 7


@pytest.mark.filterwarnings("ignore:unclosed <socket")
def test_a_factory_that_raises_is_told_and_leaves_no_descriptor(run, listener):
    async def main():
        loop = asyncio.get_running_loop()

        def fail():
            raise ValueError("factory")

        with pytest.raises(ValueError, match="factory"):
            await loop.create_connection(fail, *listener.getsockname())
        listener.accept()[0].close()

    run(main())
    gc.collect()


def test_connection_made_that_raises_is_told(run):
    async def main():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))

        class Failing(Recorder):
            def connection_made(self, transport):
                super().connection_made(transport)
                raise ValueError("made")

        near, far = peers.tcp_pair()
        transport, protocol = await loop.create_connection(Failing, sock=near)
        far.send(b"x")
        assert await protocol.received(1) == b"x"
        await end(transport, protocol)
        far.close()
        return complaints

    (message,) = run(main())
    assert message.startswith("Exception in callback ")


def test_cancelled_connect_leaves_no_descriptor(run):
    async def main():
        loop = asyncio.get_running_loop()
        resolve_to(loop, "127.0.0.1")

        async def sock_connect(sock, address):
            await asyncio.sleep(60)

        loop.sock_connect = sock_connect
        task = asyncio.create_task(loop.create_connection(Recorder, "example.invalid", 80))
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


ADDRESSES = ["127.0.0.1", "::1", "fe80::1%lo", "0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"]
OPTIONS = [
    {},
    {"type": socket.SOCK_STREAM},
    {"family": socket.AF_INET},
    {"family": socket.AF_INET6},
    {"type": socket.SOCK_DGRAM, "proto": socket.IPPROTO_UDP},
    {"flags": socket.AI_PASSIVE},
    {"flags": socket.AI_NUMERICHOST},
    {"type": socket.SOCK_STREAM, "flags": socket.AI_CANONNAME},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("port", [80, "80", "http", None, 0, b"443"])
def test_getaddrinfo_answers_as_the_system(run, options, port):
    """Literals too: enum members, zones and order as the system's resolver gives them."""

    def asked(host):
        try:
            return socket.getaddrinfo(host, port, **options)
        except OSError as error:
            return type(error), error.errno

    async def main():
        loop = asyncio.get_running_loop()
        for host in [*ADDRESSES, None, "localhost", "1.2.3", "127.1", "0x7f.1", ""]:
            try:
                found = await loop.getaddrinfo(host, port, **options)
            except OSError as error:
                found = type(error), error.errno
            assert found == asked(host), host
            if isinstance(found, list):
                assert all(type(each[0]) is socket.AddressFamily for each in found)
                assert all(type(each[1]) is socket.SocketKind for each in found)

    run(main())


def test_getnameinfo_answers_as_the_system(run):
    async def main():
        loop = asyncio.get_running_loop()
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        for address in (("127.0.0.1", 80), ("::1", 80, 0, 0), ("127.0.0.1", 0)):
            found = await loop.getnameinfo(address, numeric)
            assert found == socket.getnameinfo(address, numeric)
            assert await loop.getnameinfo(address) == socket.getnameinfo(address, 0)
        with pytest.raises(OSError, match=r"sockaddr resolved to multiple addresses|nodename|Name"):
            await loop.getnameinfo(("no such host.invalid", 80))

    run(main())


def test_many_connections_one_after_the_other(run):
    async def main():
        loop = asyncio.get_running_loop()

        class Echo(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                self.transport.write(data)
                self.transport.close()

        server = await loop.create_server(Echo, "127.0.0.1", 0)
        where = server.sockets[0].getsockname()
        for number in range(500):
            transport, protocol = await loop.create_connection(Recorder, *where)
            transport.write(b"%d" % number)
            await protocol.lost
            assert protocol.data == b"%d" % number
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.beyond_asyncio("it asks a thread")
def test_a_literal_is_answered_without_a_thread(run):
    async def main():
        loop = asyncio.get_running_loop()
        before = leaks.threads()
        for host in ("127.0.0.1", "::1", "fe80::1%lo"):
            await loop.getaddrinfo(host, 80, type=socket.SOCK_STREAM)
        return leaks.threads() == before

    assert run(main()) is True


@pytest.mark.beyond_asyncio("there every look-up is work for the executor")
def test_getnameinfo_in_numbers_asks_no_executor(loop):
    async def main(flags):
        address = ("127.0.0.1", 80)
        assert await loop.getnameinfo(address, flags) == socket.getnameinfo(address, flags)
        return loop._default_executor is not None

    assert loop.run_until_complete(main(socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)) is False
    assert loop.run_until_complete(main(socket.NI_NUMERICHOST)) is True


@pytest.mark.parametrize("address", [("127.0.0.1", 80), ("no host", 80), ("127.0.0.1", 2**31), 5])
def test_who_has_an_executor_of_its_own_does_every_getnameinfo(loop, address):
    asked = []

    async def run_in_executor(executor, function, *args):
        asked.append(function)
        return function(*args)

    async def main():
        flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        outcomes = []
        for _ in range(2):
            try:
                outcomes.append(await loop.getnameinfo(address, flags))
            except (OSError, TypeError, OverflowError) as error:
                outcomes.append((type(error), str(error)))
            loop.run_in_executor = run_in_executor
        assert outcomes[0] == outcomes[1]
        assert asked == [socket.getnameinfo]

    loop.run_until_complete(main())
