"""Unix sockets: paths, abstract addresses, and the file that a server leaves or takes away."""

import asyncio
import os
import pathlib
import re
import socket
import sys

import pytest

from loopkit import peers
from loopkit.peers import Recorder

# ruff: noqa: ASYNC240 - the paths are few and local


@pytest.fixture
def path(tmp_path):
    """A path for a socket."""
    return str(tmp_path / "sock")


async def echo(reader, writer):
    """Answer one line."""
    writer.write(await reader.readline())
    writer.close()
    await writer.wait_closed()


async def ask(path):
    """Send one line to the server at ``path`` and return its answer."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"hello\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("kind", [str, pathlib.Path, os.fsencode])
def test_paths(run, path, kind):
    async def main():
        async with await asyncio.start_unix_server(echo, kind(path)):
            return await ask(kind(path))

    assert run(main()) == b"hello\n"


def test_abstract_addresses(run):
    async def main():
        name = f"\0conbrio-test-{os.getpid()}"
        async with await asyncio.start_unix_server(echo, name) as server:
            assert server.sockets[0].getsockname() == name.encode()
            return await ask(name), await ask(name.encode())

    assert run(main()) == (b"hello\n", b"hello\n")


def test_transport_over_unix(run, path):
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Recorder, path)
        transport, protocol = await loop.create_unix_connection(Recorder, path)
        assert isinstance(transport, asyncio.Transport)
        assert transport.get_extra_info("peername") == path
        assert transport.get_extra_info("sockname") == ""
        assert transport.get_extra_info("socket").family == socket.AF_UNIX
        transport.close()
        await protocol.lost
        server.close()
        await server.wait_closed()

    run(main())


def test_the_file_of_a_closed_server(run, path):
    async def main():
        server = await asyncio.start_unix_server(echo, path)
        there = pathlib.Path(path).is_socket()
        server.close()
        await server.wait_closed()
        return there, pathlib.Path(path).exists()

    assert run(main()) == (True, sys.version_info < (3, 13))


@pytest.mark.skipif(sys.version_info < (3, 13), reason="cleanup_socket came with 3.13")
def test_cleanup_can_be_refused_and_spares_a_newcomer(run, path):
    async def main():
        server = await asyncio.start_unix_server(echo, path, cleanup_socket=False)
        server.close()
        await server.wait_closed()
        kept = pathlib.Path(path).exists()
        server = await asyncio.start_unix_server(echo, path)
        pathlib.Path(path).unlink()
        newcomer = socket.socket(socket.AF_UNIX)
        newcomer.bind(path)
        server.close()
        await server.wait_closed()
        newcomer.close()
        return kept, pathlib.Path(path).exists()

    assert run(main()) == (True, True)


def test_a_stale_socket_file_is_replaced(run, path):
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()

    async def main():
        async with await asyncio.start_unix_server(echo, path):
            return await ask(path)

    assert run(main()) == b"hello\n"


def test_a_plain_file_is_no_place(run, tmp_path):
    async def main():
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match=r"is already in use|Address already in use"):
            await asyncio.start_unix_server(echo, tmp_path / "file")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_unix_connection(tmp_path / "file")
        with pytest.raises(FileNotFoundError):
            await asyncio.open_unix_connection(tmp_path / "nothing")

    run(main())


def test_existing_sockets(run, path):
    async def main():
        loop = asyncio.get_running_loop()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        server = await asyncio.start_unix_server(echo, sock=listener)
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        await loop.sock_connect(client, path)
        transport, protocol = await loop.create_unix_connection(Recorder, sock=client)
        transport.write(b"hello\n")
        assert await protocol.received(6) == b"hello\n"
        await protocol.lost
        server.close()
        await server.wait_closed()

    run(main())


def test_wrong_arguments(same):
    def scenario(loop):
        async def main():
            ends = []
            near, far = peers.tcp_pair()
            for make, args, options in (
                (loop.create_unix_connection, [], {}),
                (loop.create_unix_connection, ["p"], {"sock": near}),
                (loop.create_unix_connection, [], {"sock": near}),
                (loop.create_unix_connection, ["p"], {"server_hostname": "x"}),
                (loop.create_unix_server, [], {}),
                (loop.create_unix_server, ["p"], {"sock": near}),
                (loop.create_unix_server, [], {"sock": near}),
                (loop.create_unix_server, ["p"], {"ssl": True}),
            ):
                try:
                    await make(Recorder, *args, **options)
                except (ValueError, TypeError) as error:
                    ends.append(error)
            near.close()
            far.close()
            return [re.sub(r"\d+", "N", str(end)) for end in ends]

        return main()

    assert len(same(scenario)) == 8


def test_descriptors_travel_beside_the_transport(run):
    """The socket of a transport stays a socket: its options can be asked, its bytes cannot be taken."""

    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        transport, protocol = await loop.create_connection(Recorder, sock=near)
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        assert not hasattr(sock, "recv")
        transport.abort()
        await protocol.lost
        far.close()

    run(main())
