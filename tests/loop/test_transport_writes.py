"""What is written to a stream transport: which data, in which order, and when it leaves."""

import asyncio
import os
import socket
import struct
import sys

import pytest

from loopkit import peers
from loopkit.either import LOOPS
from loopkit.either import run as run_on
from loopkit.peers import connected, finish


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_written(run, kind):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.write(kind(b"hello"))
        transport.write(kind(b""))
        assert await loop.sock_recv(far, 10) == b"hello"
        await finish(transport, protocol, far)

    run(main())


@pytest.mark.beyond_asyncio("since 3.12 it keeps the buffer itself")
def test_a_mutable_buffer_may_change_after_write(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        filler = b"x" * 4_000_000
        transport.write(filler)
        data = bytearray(b"before")
        transport.write(data)
        transport.write(memoryview(data))
        data[:] = b"after!"
        data.extend(b"grown")
        transport.close()
        heard = await peers.read_all(loop, far)
        await protocol.lost
        far.close()
        return heard[len(filler) :]

    assert run(main()) == b"beforebefore"


@pytest.mark.parametrize("wrong", ["words", 5, None, [b"x"]])
def test_what_is_no_buffer_is_refused(run, wrong):
    async def main():
        transport, protocol, far = await connected()
        with pytest.raises(TypeError, match="data argument must be a bytes"):
            transport.write(wrong)
        await finish(transport, protocol, far)

    run(main())


def test_a_memoryview_of_wider_items(run):
    import array

    async def main():
        loop = asyncio.get_running_loop()
        transport, _protocol, far = await connected()
        numbers = array.array("I", range(100_000))
        transport.write(memoryview(numbers))
        transport.close()
        heard = await peers.read_all(loop, far)
        far.close()
        return heard == numbers.tobytes()

    assert run(main())


def test_writelines(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _protocol, far = await connected()
        transport.writelines([b"a", bytearray(b"b"), memoryview(b"c"), b"", b"d"])
        transport.writelines(iter([b"e"]))
        transport.writelines([])
        transport.writelines([b"%d," % n for n in range(3000)])
        transport.close()
        heard = await peers.read_all(loop, far)
        far.close()
        return heard

    assert run(main()) == b"abcde" + b"".join(b"%d," % n for n in range(3000))


@pytest.mark.parametrize(
    "pieces",
    [[b"a", 1], [b"a", "b"], "abc", b"abc", [None], 1, 0, None, (), [[b"a"]]],
    ids=repr,
)
def test_writelines_says_what_it_cannot_write(pieces):
    """As on the standard loop: the exception and its words, or what was written."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, _protocol, far = await connected()
        try:
            said = transport.writelines(pieces)
        except TypeError as error:
            # CPython: 3.15 keeps what came before it, and is stuck with it.
            transport.abort()
            far.close()
            return str(error)
        transport.write(b"the rest")
        transport.close()
        heard = await peers.read_all(loop, far)
        far.close()
        return said, heard

    ours, theirs = (run_on(main(), factory) for factory in LOOPS.values())
    assert ours == theirs


@pytest.mark.beyond_asyncio("it breaks the connection off")
def test_memory_with_gaps_is_refused_and_breaks_nothing(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _protocol, far = await connected()
        gaps = memoryview(b"abcd")[::2]
        for refused in (lambda: transport.write(gaps), lambda: transport.writelines([b"a", gaps])):
            with pytest.raises((BufferError, TypeError)):
                refused()
        transport.write(b"the rest")
        transport.close()
        heard = await peers.read_all(loop, far)
        far.close()
        return heard

    assert run(main()) == b"the rest"


def test_much_data_arrives_whole(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _protocol, far = await connected()
        data = os.urandom(20_000_000)
        for start in range(0, len(data), 999_983):
            transport.write(data[start : start + 999_983])
        transport.close()
        heard = await peers.read_all(loop, far)
        far.close()
        return heard == data

    assert run(main())


def test_many_small_writes_keep_their_order(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, _protocol, far = await connected()
        reading = asyncio.create_task(peers.read_all(loop, far))
        for number in range(20_000):
            transport.write(b"%d " % number)
            if number % 1000 == 0:
                await asyncio.sleep(0)
        transport.close()
        heard = await reading
        far.close()
        return heard

    assert run(main()) == b"".join(b"%d " % number for number in range(20_000))


def test_write_goes_out_before_the_loop_sleeps(run):
    async def main():
        transport, protocol, far = await connected()
        transport.write(b"one")
        transport.write(b"two")
        await asyncio.sleep(0.01)
        heard = far.recv(10)
        await finish(transport, protocol, far)
        return heard

    assert run(main()) == b"onetwo"


def test_write_goes_out_though_the_loop_stays_busy(run):
    async def main():
        transport, protocol, far = await connected()
        transport.write(b"x")
        for turn in range(1000):
            await asyncio.sleep(0)
            try:
                heard = far.recv(10)
                break
            except BlockingIOError:
                continue
        await finish(transport, protocol, far)
        return heard, turn < 50

    assert run(main()) == (b"x", True)


async def write_once_a_turn(transport, far, turns=40):
    """Lets the transport be known for one write a turn."""
    for _ in range(turns):
        transport.write(b".")
        await asyncio.sleep(0)
    heard = b""
    while len(heard) < turns:
        heard += await asyncio.get_running_loop().sock_recv(far, turns)


def test_a_single_write_leaves_at_once(run):
    """Its receiver can work while the writer goes on."""

    async def main():
        transport, protocol, far = await connected()
        await write_once_a_turn(transport, far)
        transport.write(b"one")
        assert far.recv(10) == b"one"
        assert transport.get_write_buffer_size() == 0
        await finish(transport, protocol, far)

    run(main())


@pytest.mark.conbrio_only
def test_a_second_write_of_a_turn_waits_and_the_next_turns_gather_again(run):
    async def main():
        transport, protocol, far = await connected()
        await write_once_a_turn(transport, far)
        transport.write(b"a")
        assert far.recv(10) == b"a"
        for _ in range(3):
            for piece in (b"b", b"c", b"d"):
                transport.write(piece)
            with pytest.raises(BlockingIOError):
                far.recv(10)
            await asyncio.sleep(0)
            assert far.recv(10) == b"bcd"
        await finish(transport, protocol, far)

    run(main())


@pytest.mark.conbrio_only
def test_a_single_write_waits_for_others_that_are_ready(run):
    async def main():
        transport, protocol, far = await connected()
        await write_once_a_turn(transport, far)
        asyncio.get_running_loop().call_soon(transport.write, b"b")
        transport.write(b"a")
        with pytest.raises(BlockingIOError):
            far.recv(10)
        await asyncio.sleep(0)
        assert far.recv(10) == b"a"
        await asyncio.sleep(0)
        assert far.recv(10) == b"b"
        await finish(transport, protocol, far)

    run(main())


def test_a_single_write_to_who_has_gone(run):
    async def main():
        transport, protocol, far = await connected()
        await write_once_a_turn(transport, far)
        far.close()
        for _ in range(100):
            transport.write(b"x")
            if protocol.lost.done():
                break
            await asyncio.sleep(0)
        await protocol.lost
        transport.write(b"into the void")
        await finish(transport, protocol, far)

    run(main())


def test_single_writes_of_more_than_the_system_takes(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        await write_once_a_turn(transport, far)
        data = os.urandom(60_000)
        reader = asyncio.ensure_future(peers.read_all(loop, far))
        for _ in range(200):
            transport.write(data)
            await asyncio.sleep(0)
        transport.close()
        assert await reader == data * 200
        await protocol.lost
        far.close()

    run(main())


@pytest.mark.beyond_asyncio("since 3.12 it keeps the buffer itself")
@pytest.mark.parametrize("size", [65_537, 4_000_000])
@pytest.mark.parametrize("view", [lambda data: data, memoryview, lambda data: memoryview(data)[1:]])
def test_much_memory_may_change_after_write(run, size, view):
    """What the system takes at once is not copied, and the rest is: either way the memory is the program's again."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        data = bytearray(os.urandom(size))
        lent = view(data)
        wanted = bytes(lent)
        transport.write(lent)
        assert transport.get_write_buffer_size() < len(wanted)
        transport.write(b"end")
        if isinstance(lent, memoryview):
            lent.release()
        data[:] = bytes(size)
        data.extend(b"grown")
        transport.close()
        heard = await peers.read_all(loop, far)
        await protocol.lost
        far.close()
        return heard == wanted + b"end"

    assert run(main())


def test_much_memory_after_write_eof_and_after_the_end(run):
    async def main():
        transport, protocol, far = await connected()
        transport.write_eof()
        with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
            transport.write(bytearray(100_000))
        await finish(transport, protocol, far)
        transport, protocol, far = await connected()
        transport.abort()
        await protocol.lost
        transport.write(bytearray(100_000))
        far.close()

    run(main())


def test_much_memory_to_who_has_gone(run):
    async def main():
        transport, protocol, far = await connected()
        far.close()
        for _ in range(20):
            transport.write(bytearray(100_000))
            await asyncio.sleep(0)
        await protocol.lost
        transport.write(bytearray(100_000))

    run(main())


def segments_sent(sock):
    """How many pieces of data the system has sent for a TCP connection, without those that it sent again.

    ``tcpi_data_segs_out`` less ``tcpi_total_retrans``.
    """
    told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    return struct.unpack_from("I", told, 156)[0] - struct.unpack_from("I", told, 100)[0]


@pytest.mark.beyond_asyncio("it sends each write by itself")
@pytest.mark.parametrize("known_to_write_once", [False, True])
def test_all_writes_of_a_turn_leave_in_one_piece(run, known_to_write_once):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, near)
        if known_to_write_once:
            await write_once_a_turn(transport, far)
        sent = []
        for _ in range(3):
            before = segments_sent(near)
            for piece in range(20):
                transport.write(b"%d" % piece)
            transport.writelines([b"a", b"b"])
            await asyncio.sleep(0.001)
            sent.append(segments_sent(near) - before)
        transport.abort()
        await asyncio.sleep(0)
        far.close()
        return sent

    # A connection that has written once a turn so far: its first write goes by itself, once.
    assert run(main()) == [2 if known_to_write_once else 1, 1, 1]


@pytest.mark.beyond_asyncio("3.11 copies them")
def test_bytes_that_wait_are_kept_and_not_copied(run):
    async def main():
        transport, protocol, far = await peers.connected(pair=peers.unix_pair)
        transport.write(bytes(3_000_000))
        data = bytes(100_000)
        before = sys.getrefcount(data)
        transport.write(data)
        transport.writelines([data, data])
        held = sys.getrefcount(data) - before
        await peers.finish(transport, protocol, far)
        return held, sys.getrefcount(data) - before

    assert run(main()) == (3, 0)


@pytest.mark.beyond_asyncio("CPython 3.12 and 3.13 never end such a connection")
@pytest.mark.parametrize("pieces", [[b""], [b"", bytearray(), memoryview(b"")], [b"", b"x", b""]])
def test_empty_pieces_keep_nothing_back(run, pieces):
    """CPython 3.12 and 3.13 never end such a connection."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await peers.connected()
        transport.writelines(pieces)
        transport.close()
        heard = await peers.read_all(loop, far)
        await protocol.lost
        far.close()
        return heard, protocol.calls

    assert run(main()) == (b"".join(map(bytes, pieces)), ["made", ("lost", None)])
