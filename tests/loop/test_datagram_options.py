"""Options of a socket that change how datagrams come: a filter, joined ones, a queue of errors, words about each."""

import asyncio
import ctypes
import errno
import socket
import struct

import pytest

from loopkit.datagrams import end, endpoint, name_of, peer

SO_ATTACH_FILTER, SO_TIMESTAMP = 26, 29
IP_PKTINFO, IP_RECVERR, IP_RECVTTL = 8, 11, 12
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104


def option(transport, level, number, value=1):
    transport.get_extra_info("socket").setsockopt(level, number, value)


def dead():
    """Return an address at which nobody listens."""
    sock = peer()
    name = sock.getsockname()
    sock.close()
    return name


def test_a_filter_that_shortens(run):
    """What the system has left of a datagram is a datagram."""
    length = 10

    async def main():
        transport, protocol = await endpoint()
        # One command: take so many bytes, the eight of the head among them.
        program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 8 + length))
        given = struct.pack("HxxxxxxP", 1, ctypes.addressof(program))
        option(transport, socket.SOL_SOCKET, SO_ATTACH_FILTER, given)
        for data in (b"0123456789abcdef", b"xy", b"0123456789"):
            transport.sendto(data, name_of(transport))
        await protocol.until(lambda each: len(each.data) == 3)
        await end(transport)
        return protocol.data

    assert run(main()) == [b"0123456789", b"xy", b"0123456789"]


def test_a_filter_that_takes_none(run):
    async def main():
        transport, protocol = await endpoint()
        other, heard = await endpoint()
        program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
        given = struct.pack("HxxxxxxP", 1, ctypes.addressof(program))
        option(transport, socket.SOL_SOCKET, SO_ATTACH_FILTER, given)
        for receiver in (transport, other):
            other.sendto(b"data", name_of(receiver))
        await heard.until(lambda each: each.data)
        await end(transport, other)
        return protocol.data

    assert run(main()) == []


@pytest.mark.parametrize("joins", [False, True])
@pytest.mark.parametrize("size", [1000, 1400])
def test_a_datagram_that_the_system_cuts_or_joins(run, joins, size):
    """Without the option each piece is a datagram; with it, whoever asked is given them in one."""
    data = bytes(range(250)) * 40 + b"the end"

    async def main():
        transport, protocol = await endpoint()
        if joins:
            option(transport, SOL_UDP, UDP_GRO)
        with peer() as sock:
            sock.setsockopt(SOL_UDP, UDP_SEGMENT, size)
            sock.sendto(data, name_of(transport))
            name = sock.getsockname()
            await protocol.until(lambda each: len(b"".join(each.data)) == len(data))
        await end(transport)
        assert b"".join(protocol.data) == data
        assert {call[1] for call in protocol.calls if call[0] in protocol.data} == {name}
        return [len(each) for each in protocol.data]

    pieces = [size] * (len(data) // size) + [len(data) % size]
    assert run(main()) == ([len(data)] if joins else pieces)


def test_a_queue_of_errors(run):
    """An error is told of, datagrams come and go, and what waits in the queue is left to the program."""

    async def main():
        transport, protocol = await endpoint()
        option(transport, socket.IPPROTO_IP, IP_RECVERR)
        transport.sendto(b"to nobody", dead())
        await protocol.until(lambda each: "ConnectionRefusedError" in each.calls)
        sock = transport.get_extra_info("socket")
        with peer() as friend:
            transport.sendto(b"to a friend", friend.getsockname())
            assert await asyncio.to_thread(friend.recv, 100) == b"to a friend"
            friend.sendto(b"back", name_of(transport))
            await protocol.until(lambda each: each.data)
        kept = sock._sock.recvmsg(100, 1000, socket.MSG_ERRQUEUE)
        await end(transport)
        (level, kind, report), *_ = kept[1]
        return protocol.data, kept[0], (level, kind, struct.unpack_from("I", report)[0])

    reported = socket.IPPROTO_IP, IP_RECVERR, errno.ECONNREFUSED
    assert run(main()) == ([b"back"], b"to nobody", reported)


def test_words_about_each_datagram(run):
    """Whoever asks for them by an option gets datagrams and their senders as before."""

    async def main():
        transport, protocol = await endpoint()
        for level, number in [
            (socket.SOL_SOCKET, SO_TIMESTAMP),
            (socket.IPPROTO_IP, IP_PKTINFO),
            (socket.IPPROTO_IP, IP_RECVTTL),
        ]:
            option(transport, level, number)
        for number in range(20):
            transport.sendto(b"%d" % number, name_of(transport))
        await protocol.until(lambda each: len(each.data) == 20)
        name = name_of(transport)
        await end(transport)
        return protocol.calls[1:21] == [(b"%d" % number, name) for number in range(20)]

    assert run(main()) is True


def test_a_queue_that_is_too_short(run):
    """What the system drops is dropped; the endpoint lives, and hears what comes next."""

    async def main():
        transport, protocol = await endpoint()
        option(transport, socket.SOL_SOCKET, socket.SO_RCVBUF, 2000)
        with peer() as sock:
            for number in range(50):
                sock.sendto(b"%02d" % number + b"." * 300, name_of(transport))
            await protocol.until(lambda each: each.data)
            await asyncio.sleep(0.01)
            early = [int(each[:2]) for each in protocol.data]
            sock.sendto(b"next", name_of(transport))
            await protocol.until(lambda each: each.data[-1] == b"next")
        await end(transport)
        return early == list(range(len(early))), len(early) < 50

    assert run(main()) == (True, True)
