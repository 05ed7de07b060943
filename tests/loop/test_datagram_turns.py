"""Many datagrams at once: their order, what runs between them, and what may stop in their middle."""

import asyncio
import contextvars
import socket
import time

import pytest

from loopkit.datagrams import HERE, Recorder, end, endpoint, name_of, peer


def test_very_many_datagrams_stay_in_order(run):
    async def main():
        server, heard = await endpoint()
        client, _ = await endpoint()
        sock = server.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for start in range(0, 900, 150):
            for number in range(start, start + 150):
                client.sendto(b"%d" % number, name_of(server))
            await heard.until(lambda it: len(it.data) == start + 150)  # noqa: B023 - at once
        assert heard.data == [b"%d" % number for number in range(900)]
        assert {call[1] for call in heard.calls[1:]} == {name_of(client)}
        await end(server, client)

    run(main())


def test_many_senders_are_told_apart(run):
    async def main():
        server, heard = await endpoint()
        senders = [peer() for _ in range(60)]
        for sender in senders * 2:
            sender.sendto(b"%d" % sender.getsockname()[1], name_of(server))
        await heard.until(lambda it: len(it.data) == 120)
        assert [int(data) for data in heard.data] == [call[1][1] for call in heard.calls[1:]]
        for sender in senders:
            server.sendto(b"back", sender.getsockname())
        await asyncio.sleep(0)
        assert [sender.recv(9) for sender in senders] == [b"back"] * 60
        for sender in senders:
            sender.close()
        await end(server)

    run(main())


def test_what_a_datagram_schedules_runs_before_the_next_one(same):
    async def scenario(loop):
        trace = []

        def heard(protocol, data, addr):
            trace.append(data)
            if data in {b"1", b"4"}:
                loop.call_soon(trace.append, b"after " + data)

        transport, protocol = await endpoint(heard)
        with peer() as far:
            for number in range(60):
                far.sendto(b"%d" % number, name_of(transport))
            await protocol.until(lambda it: len(it.data) == 60)
        await end(transport)
        return trace

    trace = same(scenario)
    assert trace.index(b"after 1") == trace.index(b"1") + 1


def test_a_timer_waits_for_no_more_than_one_slow_datagram(run):
    async def main():
        loop = asyncio.get_running_loop()
        trace = []

        def heard(protocol, data, addr):
            trace.append(data)
            if data == b"0":
                loop.call_later(0.02, trace.append, "timer")
            if data != b"warm":
                time.sleep(0.01)

        transport, protocol = await endpoint(heard)
        with peer() as far:
            # Nobody waits for the protocol itself: that would be scheduled in between.
            for _ in range(10):
                for _ in range(40):
                    far.sendto(b"warm", name_of(transport))
                await asyncio.sleep(0.005)
            for number in range(20):
                far.sendto(b"%d" % number, name_of(transport))
            while len(protocol.data) < 420:  # noqa: ASYNC110 - as said
                await asyncio.sleep(0.05)
        await end(transport)
        return trace[400:].index("timer")

    assert run(main()) <= 6


@pytest.mark.parametrize("released", [False, True])
def test_memory_that_was_released_is_refused_or_ends_it(same, released):
    async def scenario(loop):
        transport, protocol = await endpoint()
        memory = memoryview(bytearray(b"x"))
        if released:
            memory.release()
        try:
            transport.sendto(memory, name_of(transport))
            outcome = "taken"
        except ValueError as error:
            outcome = str(error)
        await asyncio.sleep(0.01)
        closing = transport.is_closing()
        await end(transport)
        return [outcome, closing, protocol.data]

    same(scenario)


@pytest.mark.parametrize("slow", [False, True])
def test_a_waiter_sees_every_datagram(run, slow):
    async def main():
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()

        def heard(protocol, data, addr):
            waiting.set_result(data)  # an InvalidStateError if two come at once
            if slow:
                # The loop asks the system in every turn then, and hears the descriptor in each.
                time.sleep(0.0005)

        transport, _ = await endpoint(heard)
        with peer() as far:
            for number in range(40):
                far.sendto(b"%d" % number, name_of(transport))
        got = []
        while len(got) < 40:
            # Not by `wait_for`, which up to 3.11 takes more turns than datagrams do.
            async with asyncio.timeout(10):
                got.append(await waiting)
            waiting = loop.create_future()
        assert got == [b"%d" % number for number in range(40)]
        await end(transport)

    run(main())


def test_an_exception_stops_nothing_else(same):
    async def scenario(loop):
        def heard(protocol, data, addr):
            if int(data) % 3 == 1:
                raise ValueError(data)

        transport, protocol = await endpoint(heard)
        with peer() as far:
            for number in range(60):
                far.sendto(b"%d" % number, name_of(transport))
            await protocol.until(lambda it: len(it.data) == 60)
        found = protocol.data, transport.is_closing()
        await end(transport)
        return found

    heard = []

    async def without_words(loop):
        loop.set_exception_handler(lambda _, context: heard.append(str(context["exception"])))
        return await scenario(loop)

    assert same(without_words)[1] is False
    assert len(heard) == 40


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_loop_loses_no_datagram(loop, error):
    def heard(protocol, data, addr):
        if data == b"20":
            raise error

    async def begin():
        return await endpoint(heard)

    async def rest(protocol):
        await protocol.until(lambda it: len(it.data) == 40)

    transport, protocol = loop.run_until_complete(begin())
    with peer() as far:
        for number in range(40):
            far.sendto(b"%d" % number, name_of(transport))
    with pytest.raises(error):
        loop.run_until_complete(rest(protocol))
    loop.run_until_complete(rest(protocol))
    assert protocol.data == [b"%d" % number for number in range(40)]
    loop.run_until_complete(end(transport))


def test_stop_in_the_middle_of_many(same):
    def scenario(loop):
        trace = []

        def heard(protocol, data, addr):
            if data == b"20":
                loop.stop()

        async def begin():
            return await endpoint(heard)

        transport, protocol = loop.run_until_complete(begin())
        with peer() as far:
            for number in range(40):
                far.sendto(b"%d" % number, name_of(transport))
        loop.run_forever()
        trace.append(list(protocol.data))

        async def rest():
            await protocol.until(lambda it: len(it.data) == 40)

        loop.run_until_complete(rest())
        trace.append(list(protocol.data))
        loop.run_until_complete(end(transport))
        return trace

    assert len(same(scenario)[0]) == 21


def test_pausing_in_the_middle_of_many(run):
    async def main():
        def heard(protocol, data, addr):
            if data == b"20":
                protocol.transport.pause_reading()

        transport, protocol = await endpoint(heard)
        with peer() as far:
            for number in range(40):
                far.sendto(b"%d" % number, name_of(transport))
            await protocol.until(lambda it: b"20" in it.data)
            assert not transport.is_reading()
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(protocol.data) == 21
            far.sendto(b"40", name_of(transport))
        transport.resume_reading()
        assert transport.is_reading()
        assert len(protocol.data) == 21
        await protocol.until(lambda it: len(it.data) == 41)
        assert protocol.data == [b"%d" % number for number in range(41)]
        await end(transport)

    run(main())


@pytest.mark.parametrize("verb", ["close", "abort"])
def test_closing_in_the_middle_of_many(same, verb):
    async def scenario(loop):
        def heard(protocol, data, addr):
            if data == b"20":
                getattr(protocol.transport, verb)()

        transport, protocol = await endpoint(heard)
        with peer() as far:
            for number in range(40):
                far.sendto(b"%d" % number, name_of(transport))
        await protocol.lost
        await asyncio.sleep(0)
        return protocol.data, protocol.calls[-1], transport.is_closing()

    assert len(same(scenario)[0]) == 21


def test_another_protocol_in_the_middle_of_many(run):
    async def main():
        second = Recorder()

        def heard(protocol, data, addr):
            if data == b"20":
                protocol.transport.set_protocol(second)

        transport, first = await endpoint(heard)
        with peer() as far:
            for number in range(40):
                far.sendto(b"%d" % number, name_of(transport))
        await second.until(lambda it: len(it.data) == 19)
        assert first.data + second.data == [b"%d" % number for number in range(40)]
        await end(transport)

    run(main())


def test_the_protocol_keeps_one_context(run):
    variable = contextvars.ContextVar("variable", default=0)

    async def main():
        seen = []

        def heard(protocol, data, addr):
            seen.append(variable.get())
            variable.set(variable.get() + 1)

        variable.set(5)
        transport, protocol = await endpoint(heard)
        variable.set(50)
        with peer() as far:
            for number in range(30):
                far.sendto(b"%d" % number, name_of(transport))
            await protocol.until(lambda it: len(it.data) == 30)
        assert seen == list(range(5, 35))
        await end(transport)

    run(main())


@pytest.mark.conbrio_only
def test_answers_to_an_error_that_fail_again_leave_the_loop_alive(run):
    """On asyncio they end by a RecursionError; here each waits for the next turn."""

    async def main():
        loop = asyncio.get_running_loop()

        class Stubborn(Recorder):
            def error_received(self, exc):
                super().error_received(exc)
                if not self.lost.done():
                    self.transport.sendto(b"x" * 70_000, ("127.0.0.1", 9))

        server, heard = await endpoint(local_addr=HERE)
        transport, protocol = await loop.create_datagram_endpoint(Stubborn, local_addr=HERE)
        transport.sendto(b"first", name_of(server))
        transport.sendto(b"x" * 70_000, name_of(server))
        transport.sendto(b"last", name_of(server))
        await heard.until(lambda it: len(it.data) == 2)
        await asyncio.sleep(0.01)
        transport.abort()
        await protocol.lost
        await end(server)
        return heard.data, len(protocol.calls) > 3

    assert run(main()) == ([b"first", b"last"], True)


def test_sends_after_close_in_the_same_turn_are_sent(run):
    async def main():
        server, heard = await endpoint(local_addr=HERE)
        client, protocol = await endpoint(local_addr=HERE)
        for number in range(6):
            client.sendto(b"%d" % number, name_of(server))
            if number == 2:
                client.close()
        await protocol.lost
        await heard.until(lambda it: len(it.data) == 6)
        await end(server)
        return sorted(heard.data)

    assert run(main()) == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_one_that_cannot_be_sent_takes_none_of_those_before_it_along(loop, complaints):
    async def main():
        client, protocol = await endpoint()
        with peer() as far:
            for data in (b"1", b"2", memoryview(b"abcdef")[::2]):
                client.sendto(data, far.getsockname())
            await protocol.lost
            return far.recv(10), far.recv(10)

    assert loop.run_until_complete(main()) == (b"1", b"2")
    assert [type(told["exception"]) for told in complaints] == [BufferError]
