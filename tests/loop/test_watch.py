"""add_reader and its family: watching descriptors."""

import asyncio
import gc
import os
import socket
import weakref

import pytest

from loopkit import peers


@pytest.fixture
def pair(loop):
    """Two connected sockets, closed before the loop is."""
    near, far = peers.unix_pair()
    yield near, far
    if not loop.is_closed():
        for each in (near, far):
            if each.fileno() >= 0:
                loop.remove_reader(each)
                loop.remove_writer(each)
    near.close()
    far.close()


def turns(loop, count=3):
    """Let ``loop`` take some turns, each with a poll."""
    for _ in range(count):
        loop.stop()
        loop.run_forever()


def test_reader_hears_input(loop, pair):
    near, far = pair
    heard = []
    loop.add_reader(near, lambda: heard.append(near.recv(10)))
    turns(loop)
    assert heard == []
    far.send(b"one")
    turns(loop)
    far.send(b"two")
    turns(loop)
    assert heard == [b"one", b"two"]


def test_writer_hears_room(loop, pair):
    near, _far = pair
    heard = []
    loop.add_writer(near, heard.append, 1)
    turns(loop)
    assert len(heard) >= 2
    assert loop.remove_writer(near) is True
    before = len(heard)
    turns(loop)
    assert len(heard) == before


def test_level_triggered(loop, pair):
    """A reader that leaves input behind is called again."""
    near, far = pair
    heard = []
    far.send(b"abc")
    loop.add_reader(near, lambda: heard.append(near.recv(1)))
    turns(loop, 6)
    assert heard == [b"a", b"b", b"c"]


@pytest.mark.parametrize("kind", ["number", "socket", "fileno"])
def test_numbers_and_objects(loop, pair, kind):
    near, far = pair

    class Filed:
        def fileno(self):
            return near.fileno()

    what = {"number": near.fileno(), "socket": near, "fileno": Filed()}[kind]
    heard = []
    far.send(b"x")
    assert loop.add_reader(what, lambda: heard.append(near.recv(1))) is None
    assert loop.add_writer(what, lambda: loop.remove_writer(what)) is None
    turns(loop)
    assert heard == [b"x"]
    assert loop.remove_reader(near.fileno()) is True
    assert loop.remove_reader(what) is False


def test_returns(loop, pair):
    near, _ = pair
    assert loop.remove_reader(near) is False
    assert loop.remove_writer(near) is False
    assert loop.add_reader(near, print) is None
    assert loop.remove_writer(near) is False
    assert loop.remove_reader(near) is True
    assert loop.remove_reader(near) is False


def test_reader_and_writer_of_one_descriptor_are_apart(loop, pair):
    near, far = pair
    heard = []
    loop.add_reader(near, lambda: heard.append(near.recv(1)))
    loop.add_writer(near, lambda: (heard.append("room"), loop.remove_writer(near)))
    turns(loop)
    assert heard == ["room"]
    far.send(b"x")
    turns(loop)
    assert heard == ["room", b"x"]
    loop.add_writer(near, lambda: (heard.append("again"), loop.remove_writer(near)))
    loop.remove_reader(near)
    far.send(b"y")
    turns(loop)
    assert heard == ["room", b"x", "again"]


def test_adding_again_replaces(loop, pair):
    near, far = pair
    heard = []
    loop.add_reader(near, heard.append, "old")
    loop.add_reader(near, lambda: heard.append(near.recv(1)))
    far.send(b"x")
    turns(loop)
    assert heard == [b"x"]


def test_replaced_after_it_became_ready_does_not_run(same):
    """The handle of a replaced or removed reader is cancelled, even when it is queued already."""

    def scenario(loop):
        heard = []
        near, far = peers.unix_pair()
        other, more = peers.unix_pair()
        with near, far, other, more:
            far.send(b"x")
            more.send(b"x")

            def first():
                heard.append("first")
                for each in (near, other):
                    loop.remove_reader(each)

            loop.add_reader(near, first)
            loop.add_reader(other, first)
            turns(loop)
        return heard

    assert same(scenario) == ["first"]


def test_arguments_are_passed(loop, pair):
    near, far = pair
    heard = []
    loop.add_reader(near, lambda *args: (near.recv(1), heard.append(args)), 1, "two", None)
    far.send(b"x")
    turns(loop)
    assert heard == [(1, "two", None)]


def test_context_is_the_adders(loop, pair):
    import contextvars

    near, far = pair
    variable = contextvars.ContextVar("variable", default="outside")
    heard = []

    def adding():
        variable.set("adder")
        loop.add_reader(near, lambda: (near.recv(1), heard.append(variable.get())))

    contextvars.copy_context().run(adding)
    far.send(b"x")
    turns(loop)
    assert heard == ["adder"]


def test_end_of_file_and_hang_up_are_readable(loop, pair):
    near, far = pair
    heard = []
    loop.add_reader(near, lambda: (heard.append(near.recv(1)), loop.remove_reader(near)))
    far.close()
    turns(loop)
    assert heard == [b""]


def test_hang_up_wakes_a_writer_too(loop, pair):
    near, far = pair
    heard = []
    try:
        while True:
            near.send(b"x" * 65536)
    except BlockingIOError:
        pass
    loop.add_writer(near, lambda: (heard.append("writable"), loop.remove_writer(near)))
    turns(loop)
    assert heard == []
    far.close()
    turns(loop)
    assert heard == ["writable"]


def test_reset_wakes_a_reader(loop):
    near, far = peers.tcp_pair()
    heard = []

    def readable():
        loop.remove_reader(near)
        with pytest.raises(ConnectionResetError):
            near.recv(1)
        heard.append("reset")
        loop.stop()

    loop.add_reader(near, readable)
    peers.reset(far)
    loop.run_forever()
    near.close()
    assert heard == ["reset"]


def test_pipes_are_watched(loop):
    reading, writing = os.pipe()
    heard = []
    loop.add_reader(reading, lambda: heard.append(os.read(reading, 10)))
    loop.add_writer(writing, lambda: (os.write(writing, b"x"), loop.remove_writer(writing)))
    turns(loop, 4)
    loop.remove_reader(reading)
    os.close(reading)
    os.close(writing)
    assert heard == [b"x"]


def test_a_reader_that_raises_is_reported_and_called_again(same):
    def scenario(loop):
        heard = []
        near, far = peers.unix_pair()

        def fail():
            heard.append(near.recv(1))
            raise ValueError("no")

        with near, far:
            far.send(b"ab")
            loop.add_reader(near, fail)
            turns(loop, 4)
            loop.remove_reader(near)
        return heard

    assert same(scenario) == [b"a", b"b"]


def test_regular_files_are_refused(loop, tmp_path, driver):
    if driver == "poll":
        pytest.skip("poll takes regular files, as its system call does")
    with (tmp_path / "file").open("wb") as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, print)
        assert loop.remove_reader(file) is False


def test_a_closed_descriptor_is_refused(loop, driver):
    if driver == "poll":
        pytest.skip("poll learns of it at the next wait")
    with pytest.raises(OSError, match="Bad file descriptor"):
        loop.add_reader(987, print)
    assert loop.remove_reader(987) is False


def test_a_descriptor_that_a_transport_uses_is_refused(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        transport, _ = await loop.create_connection(peers.Recorder, sock=near)
        number = transport.get_extra_info("socket").fileno()
        for method, args in (
            (loop.add_reader, [print]),
            (loop.add_writer, [print]),
            (loop.remove_reader, []),
            (loop.remove_writer, []),
        ):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(number, *args)
        transport.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        far.close()

    run(main())


def test_callbacks_are_freed_when_removed(loop, pair):
    class Thing:
        def __call__(self):
            """Do nothing."""

    near, _ = pair
    thing = Thing()
    seen = weakref.ref(thing)
    loop.add_reader(near, thing)
    del thing
    gc.collect()
    assert seen() is not None
    loop.remove_reader(near)
    gc.collect()
    assert seen() is None


def test_callbacks_are_freed_when_the_loop_closes(loop, pair):
    class Thing:
        def __call__(self):
            """Do nothing."""

    near, _ = pair
    thing = Thing()
    seen = weakref.ref(thing)
    loop.add_reader(near, thing)
    del thing
    loop.close()
    gc.collect()
    assert seen() is None


def test_a_number_used_again_is_a_new_watch(loop):
    """After removal and close, a new socket under the old number hears only its own events."""
    heard = []
    for round_number in range(50):
        near, far = peers.unix_pair()
        far.send(b"x")
        loop.add_reader(near, lambda n=round_number, s=near: (s.recv(1), heard.append(n)))
        turns(loop, 2)
        loop.remove_reader(near)
        near.close()
        far.close()
    assert heard == list(range(50))


def test_removing_a_watch_after_close_of_its_descriptor(loop):
    near, far = peers.unix_pair()
    number = near.fileno()
    loop.add_reader(number, print)
    near.close()
    assert loop.remove_reader(number) is True
    assert loop.remove_reader(number) is False
    far.close()


def test_a_stale_event_hits_nobody(loop):
    """A reader closes its neighbour, whose number is taken by a quiet newcomer, in one turn."""
    first, first_far = peers.unix_pair()
    second, second_far = peers.unix_pair()
    new = []
    wrong = []

    def close_the_other(me, other):
        me.recv(1)
        if new:
            return
        number = other.fileno()
        loop.remove_reader(other)
        other.close()
        near, far = peers.unix_pair()
        new.extend([near, far])
        for each in (near, far):
            if each.fileno() == number:
                loop.add_reader(each, wrong.append, number)

    loop.add_reader(first, close_the_other, first, second)
    loop.add_reader(second, close_the_other, second, first)
    first_far.send(b"x")
    second_far.send(b"x")
    turns(loop, 4)
    for each in (first, second, *new):
        if each.fileno() >= 0:
            loop.remove_reader(each)
        each.close()
    first_far.close()
    second_far.close()
    assert len(new) == 2
    assert wrong == []


def test_many_descriptors(loop):
    pairs = [peers.unix_pair() for _ in range(300)]
    heard = []
    for number, (near, far) in enumerate(pairs):
        loop.add_reader(near, lambda n=number, s=near: (s.recv(1), heard.append(n)))
        far.send(b"x")
    turns(loop, 6)
    for near, far in pairs:
        loop.remove_reader(near)
        near.close()
        far.close()
    assert sorted(heard) == list(range(300))


def test_no_descriptor_starves(loop):
    """Two thousand ready descriptors are all heard within a few polls."""
    pairs = [peers.unix_pair() for _ in range(2000)]
    heard = set()
    for number, (near, far) in enumerate(pairs):
        loop.add_reader(near, heard.add, number)
        far.send(b"x")
    turns(loop, 12)
    for near, far in pairs:
        loop.remove_reader(near)
        near.close()
        far.close()
    assert len(heard) == 2000


def test_a_socket_closed_first_is_still_known(loop):
    a, b = socket.socketpair()
    with b:
        loop.add_reader(a, print)
        a.close()
        assert loop.remove_reader(a) is True
        with pytest.raises(ValueError, match="Invalid file descriptor: -1"):
            loop.remove_reader(a)


def test_a_peer_hears_in_the_next_turn(loop):
    """A busy loop leaves out polls, but not after a descriptor was taken in hand or let go."""
    near, far = socket.socketpair()
    order = []

    def heard():
        order.append(far.recv(10))
        if len(order) > 5:
            loop.remove_reader(far)

    def count(number):
        order.append(number)
        if number == 5:
            loop.remove_reader(near)
            near.close()
        if number:
            loop.call_soon(count, number - 1)
        else:
            loop.stop()

    def begin():
        near.send(b"there")
        loop.add_reader(far, heard)
        loop.call_soon(count, 8)

    loop.add_reader(near, int)
    loop.call_soon(begin)
    loop.run_forever()
    assert order == [8, b"there", 7, 6, 5, 4, b"", 3, 2, 1, 0]
    far.close()


def test_a_peer_hears_in_the_next_turn_of_what_a_watcher_did(loop):
    """As tornado's sockets do: the watcher of one sends, and the watcher of the other is not kept waiting."""
    near, far = socket.socketpair()
    order = []

    def asked():
        near.recv(10)
        near.send(b"there")
        loop.call_soon(count, 5)

    def heard():
        order.append(far.recv(10))

    def count(number):
        order.append(number)
        if number:
            loop.call_soon(count, number - 1)
        else:
            loop.stop()

    loop.add_reader(far, heard)
    loop.add_reader(near, asked)
    far.send(b"ask")
    loop.run_forever()
    assert order == [5, b"there", 4, 3, 2, 1, 0]
    loop.remove_reader(near)
    loop.remove_reader(far)
    near.close()
    far.close()
