"""The socket of a transport, kept by a program: what is done to it comes after what was written before."""

import asyncio
import gc
import os
import socket
import weakref
from asyncio import trsock

import pytest

from loopkit import peers
from loopkit.datagrams import end, endpoint, name_of, peer
from loopkit.tls import answer_of


def test_it_is_asyncios_own(run):
    async def main():
        transport, _, far = await peers.connected(asyncio.Protocol, peers.unix_pair)
        sock = transport.get_extra_info("socket")
        assert isinstance(sock, trsock.TransportSocket)
        assert sock is transport.get_extra_info("socket")
        assert repr(sock).startswith(f"<asyncio.TransportSocket fd={sock.fileno()}, ")
        assert sock.family is socket.AF_UNIX
        kept = weakref.ref(transport)
        transport.abort()
        await asyncio.sleep(0)
        del transport
        gc.collect()
        # It keeps no transport alive, and answers without one.
        assert kept() is None
        assert sock.fileno() == -1
        far.close()

    run(main())


def send(sock):
    with sock:
        sock.send(b"!")


# The system's number; Python names it from 3.14 on.
RECVTTL = 12

USES = {
    "shutdown": lambda sock: sock.shutdown(socket.SHUT_WR),
    "descriptor": lambda sock: os.write(sock.fileno(), b"!"),
    "dup": lambda sock: send(sock.dup()),
}


@pytest.mark.parametrize("use", USES)
def test_what_was_written_before_leaves_first(run, use):
    async def main():
        transport, _, far = await peers.connected(asyncio.Protocol, peers.unix_pair)
        sock = transport.get_extra_info("socket")
        transport.write(b"written")
        USES[use](sock)
        far.setblocking(False)
        received = far.recv(64)
        transport.abort()
        far.close()
        return received

    assert run(main()) == (b"written" if use == "shutdown" else b"written!")


def test_the_same_over_tls(run):
    async def main():
        class Answers(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport, self.sock = transport, transport.get_extra_info("socket")

            def data_received(self, data):
                self.transport.write(b"so long!")
                self.sock.shutdown(socket.SHUT_WR)

        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        return await answer_of(Answers, 8)

    assert run(main()) == b"so long!"


def test_an_option_is_of_the_datagrams_after_it(same):
    async def scenario(loop):
        server, _ = await endpoint()
        sock = server.get_extra_info("socket")
        with peer() as far:
            far.setsockopt(socket.IPPROTO_IP, RECVTTL, 1)
            for number in range(1, 6):
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 10 * number)
                server.sendto(b"%d" % number, far.getsockname())
            await asyncio.sleep(0)
            received = [far.recvmsg(64, 64) for _ in range(5)]
        assert name_of(server)
        await end(server)
        return [[data, int.from_bytes(told[0][2], "little")] for data, told, _, _ in received]

    assert same(scenario) == [[b"%d" % number, 10 * number] for number in range(1, 6)]
