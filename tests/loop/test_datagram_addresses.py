"""Datagrams at the edges: abstract and odd Unix addresses, peers without a name or gone, sizes, scopes and families."""

import asyncio
import os
import socket

import pytest

from loopkit.datagrams import HERE, end, endpoint, name_of

UNIX = {"family": socket.AF_UNIX}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a short name to be in: paths of sockets are short."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_abstract_addresses(run):
    name = f"\0conbrio-rare-{os.getpid()}"

    async def main():
        far, heard = await endpoint(local_addr=name, **UNIX)
        near, told = await endpoint(local_addr=name + "-near", **UNIX)
        near.sendto(b"one", name)
        near.sendto(b"two", name.encode())
        await heard.until(lambda recorder: len(recorder.data) == 2)
        far.sendto(b"back", heard.calls[-1][1])
        await told.until(lambda recorder: recorder.data)
        found = heard.data, heard.calls[-1][1] == (name + "-near").encode(), told.data
        await end(near, far)
        return found

    assert run(main()) == ([b"one", b"two"], True, [b"back"])


def test_addresses_that_are_not_utf8(run, place):
    async def main():
        far, heard = await endpoint(local_addr="far\udcff", **UNIX)
        near, told = await endpoint(local_addr="near\udcfe", **UNIX)
        assert (name_of(far), name_of(near)) == ("far\udcff", "near\udcfe")
        for address in ("far\udcff", b"far\xff"):
            near.sendto(b"x", address)
        await heard.until(lambda recorder: len(recorder.data) == 2)
        assert heard.calls[-1] == (b"x", "near\udcfe")
        far.sendto(b"back", heard.calls[-1][1])
        await told.until(lambda recorder: recorder.data)
        await end(near, far)

    run(main())
    assert os.path.exists(b"far\xff")


def test_a_peer_without_a_name(run, place):
    """It is nobody to answer to: an attempt breaks the endpoint off."""

    async def main():
        far, heard = await endpoint(local_addr="far", **UNIX)
        near, _ = await endpoint(**UNIX)
        assert (name_of(near), near.get_extra_info("peername")) == ("", None)
        near.sendto(b"x", "far")
        await heard.until(lambda recorder: recorder.data)
        assert heard.calls == ["made", (b"x", None)]
        await end(near, far)

    run(main())


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"local_addr": "x" * 108}, OSError, "AF_UNIX path too long"),
        ({"local_addr": "\0" + "x" * 108}, OSError, "AF_UNIX path too long"),
        ({"remote_addr": "x" * 108}, OSError, "AF_UNIX path too long"),
        ({"local_addr": "plain"}, OSError, "Address already in use"),
        ({"local_addr": "no/such"}, FileNotFoundError, "No such file"),
        ({"remote_addr": "nobody"}, FileNotFoundError, "No such file"),
        ({"remote_addr": "stale"}, ConnectionRefusedError, "Connection refused"),
        ({"local_addr": b"bytes"}, TypeError, "string is expected"),
        ({"local_addr": "a\0b"}, ValueError, "embedded null"),
    ],
)
def test_unix_addresses_that_are_refused(run, place, how, error, says):
    (place / "plain").write_bytes(b"kept")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stale:
        stale.bind("stale")

    async def main():
        with pytest.raises(error, match=says):
            await endpoint(**how, **UNIX)

    run(main())
    assert (place / "plain").read_bytes() == b"kept"


def test_the_file_of_a_dead_socket_is_replaced(run, place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind("stale")

    async def main():
        far, heard = await endpoint(local_addr="stale", **UNIX)
        near, _ = await endpoint(remote_addr="stale", **UNIX)
        near.sendto(b"x")
        await heard.until(lambda recorder: recorder.data)
        await end(near, far)
        return heard.data

    assert run(main()) == [b"x"]


def test_a_unix_peer_that_goes(run, place):
    """The first datagram is refused, those behind it have no peer any more; the endpoint lives."""

    async def main():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.bind("peer")
            near, told = await endpoint(remote_addr="peer", **UNIX)
        errors = []
        told.error_received = lambda error: (errors.append(error.errno), told.note("error"))
        near.set_protocol(told)
        for number in range(1, 4):
            near.sendto(b"x")
            await told.until(lambda _, number=number: len(errors) == number)
        assert not near.is_closing()
        await end(near)
        return errors

    assert run(main()) == [111, 107, 107]


def test_unix_addresses_that_cannot_be_sent_to(run, place):
    async def main():
        near, told = await endpoint(**UNIX)
        for number, address in enumerate(("nobody", b"nobody", "x" * 200, "/"), 1):
            near.sendto(b"x", address)
            await told.until(lambda recorder, number=number: len(recorder.calls) == number + 1)
        assert not near.is_closing()
        await end(near)
        return told.calls[1:-1]

    expected = ["FileNotFoundError", "FileNotFoundError", "OSError", "ConnectionRefusedError"]
    assert run(main()) == expected


@pytest.mark.parametrize("connected", [False, True])
def test_the_smallest_and_the_largest(run, connected):
    async def main():
        far, heard = await endpoint()
        how = {"remote_addr": name_of(far)} if connected else {"local_addr": HERE}
        near, told = await endpoint(**how)
        address = None if connected else name_of(far)
        for number, size in enumerate((1, 65507), 1):
            near.sendto(bytes(size), address)
            await heard.until(lambda recorder, number=number: len(recorder.data) == number)
        for number, size in enumerate((65508, 100_000), 2):
            near.sendto(bytes(size), address)
            await told.until(lambda recorder, number=number: len(recorder.calls) == number)
        near.sendto(b"on", address)
        await heard.until(lambda recorder: len(recorder.data) == 3)
        found = [len(data) for data in heard.data], told.calls
        await end(near, far)
        return found

    sizes, calls = run(main())
    assert sizes == [1, 65507, 2]
    assert calls[:3] == ["made", "OSError", "OSError"]


@pytest.mark.parametrize(
    "more", [(), (0,), (0, 0), (0, 1), (5, 0)], ids=["2", "3", "4", "scope", "flow"]
)
def test_addresses_of_ipv6(run, more):
    async def main():
        far, heard = await endpoint(local_addr=("::1", 0))
        near, _ = await endpoint(local_addr=("::1", 0))
        near.sendto(b"x", (*name_of(far)[:2], *more))
        await heard.until(lambda recorder: recorder.data)
        found = heard.calls[-1][1] == name_of(near)
        await end(near, far)
        return found

    assert run(main()) is True


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", ("::1", 9)), ("::1", ("127.0.0.1", 9)), ("::1", ("::1%nosuch", 9))],
)
def test_addresses_of_another_family(run, host, address):
    """The protocol hears of it, and the endpoint lives."""

    async def main():
        near, told = await endpoint(local_addr=(host, 0))
        near.sendto(b"x", address)
        await told.until(lambda recorder: len(recorder.calls) == 2)
        assert not near.is_closing()
        await end(near)
        return told.calls[1]

    assert run(main()) == "gaierror"


@pytest.mark.parametrize("shape", [(), ("127.0.0.1",), ("127.0.0.1", "x"), "path", 3])
def test_addresses_of_another_shape(loop, complaints, shape):
    """Whoever sends to what is no address at all has the endpoint break off."""

    async def main():
        near, told = await endpoint()
        near.sendto(b"x", shape)
        await told.lost
        return type(told.calls[-1][1])

    assert loop.run_until_complete(main()) is TypeError
    assert [heard["message"] for heard in complaints] == ["Fatal write error on datagram transport"]


def test_the_address_of_a_socket_that_came_connected(run):
    """Set on the transport, as asyncio-dgram does: every other one is refused then."""

    async def main():
        loop = asyncio.get_running_loop()
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with far:
            far.bind(("127.0.0.1", 0))
            near.connect(far.getsockname())
            transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=near)
            assert transport._address is None
            transport._address = transport.get_extra_info("peername")
            transport.sendto(b"to the peer")
            transport.sendto(b"to it by name", far.getsockname())
            with pytest.raises(ValueError, match="Invalid address: must be None or"):
                transport.sendto(b"x", ("127.0.0.1", 9))
            transport._address = None
            transport.close()
            await asyncio.sleep(0.01)
            return far.recv(100), far.recv(100)

    assert run(main()) == (b"to the peer", b"to it by name")
