"""fork with a loop: the child makes its own; the old one refuses clearly or is left alone."""

import textwrap

import pytest

from loopkit import children


def test_a_child_of_a_running_loop_makes_its_own(driver):
    code = """
    async def main():
        await asyncio.sleep(0)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                async def inner():
                    await asyncio.sleep(0.001)
                    return await asyncio.to_thread(lambda: 7)
                with asyncio.Runner(loop_factory=new_loop) as runner:
                    status = runner.run(inner())
            finally:
                os._exit(status)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        return os.waitstatus_to_exitcode(status)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        print(runner.run(main()))
    """
    status, out, _ = children.run_python(code, driver, "-W", "ignore::DeprecationWarning")
    assert (status, out) == (0, "7\n")


def test_nothing_runs_in_the_child(driver):
    code = """
    async def main():
        pid = os.fork()
        if not pid:
            try:
                asyncio.get_running_loop()
                os._exit(1)
            except RuntimeError:
                os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with asyncio.Runner(loop_factory=new_loop) as runner:
        print(runner.run(main()))
    """
    status, out, _ = children.run_python(code, driver, "-W", "ignore::DeprecationWarning")
    assert (status, out) == (0, "7\n")


def test_the_parent_goes_on_undisturbed(driver):
    """What the child does with a loop of its own reaches none of the parent's descriptors."""
    code = """
    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)
        writer.close()
    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"one\\n")
        first = await reader.readline()
        pid = os.fork()
        if not pid:
            async def inner():
                server = await asyncio.start_server(echo, "127.0.0.1", 0)
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"child\\n")
                line = await reader.readline()
                writer.close()
                server.close()
                return line
            loop = new_loop()
            line = loop.run_until_complete(inner())
            loop.close()
            os._exit(7 if line == b"child\\n" else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        writer.write(b"two\\n")
        second = await reader.readline()
        await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_soon_threadsafe(int)
        await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return status, first, second
    with asyncio.Runner(loop_factory=new_loop) as runner:
        print(*runner.run(main()))
    """
    status, out, err = children.run_python(code, driver, "-W", "ignore::DeprecationWarning")
    assert (status, out) == (0, "7 b'one\\n' b'two\\n'\n"), err


@pytest.mark.beyond_asyncio("it runs on, on descriptors that it shares with its parent")
@pytest.mark.parametrize("verb", ["run_forever()", "run_until_complete(asyncio.sleep(0))"])
def test_the_old_loop_refuses_in_the_child(driver, verb):
    code = f"""
    import warnings
    warnings.simplefilter("ignore")
    loop = new_loop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.call_later(3, loop.stop)
    pid = os.fork()
    if not pid:
        try:
            loop.{verb}
            os._exit(1)
        except RuntimeError as error:
            print(error, flush=True)
            os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()
    """
    status, out, err = children.run_python(code, driver)
    assert (status, out.splitlines()[-1]) == (0, "7"), err
    assert "fork" in out


def test_closing_the_old_loop_in_the_child_spares_the_parent(driver):
    code = """
    loop = new_loop()
    async def main():
        near, far = __import__("socket").socketpair()
        near.setblocking(False)
        heard = loop.create_future()
        loop.add_reader(near, lambda: heard.set_result(near.recv(1)))
        return near, far, heard
    near, far, heard = loop.run_until_complete(main())
    pid = os.fork()
    if not pid:
        loop.close()
        os._exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    far.send(b"x")
    async def wait():
        return await asyncio.wait_for(heard, 10)
    print(status, loop.run_until_complete(wait()))
    loop.remove_reader(near)
    loop.close()
    near.close(); far.close()
    """
    assert children.output(code, driver) == "7 b'x'\n"


# A child that holds everything open until `begin` is closed.
HOLDER = """
def holder():
    end, begin = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(begin)
        os.read(end, 1)
        os._exit(0)
    os.close(end)
    return pid, begin
"""


def test_a_connection_that_a_child_holds_open_does_not_keep_the_loop_busy(driver):
    """The system goes on reporting what the parent has closed, as long as the child has it."""
    code = """
    socket = __import__("socket")
    class Echo(asyncio.Protocol):
        made = []
        def connection_made(self, transport):
            self.transport = transport
            self.made.append(self)
        def data_received(self, data):
            self.transport.write(data)
    async def connected(where):
        count = len(Echo.made)
        peer = socket.create_connection(where)
        while len(Echo.made) == count:
            await asyncio.sleep(0.001)
        return peer, Echo.made[-1].transport
    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        where = server.sockets[0].getsockname()
        peers = [await connected(where) for _ in range(3)]
        pid, begin = holder()
        for peer, transport in peers:
            transport.abort()
        await asyncio.sleep(0.01)
        for peer, _ in peers:
            peer.send(b"nobody reads this")
        # Descriptors' numbers are given out anew.
        again = [await connected(where) for _ in range(3)]
        began = time.process_time()
        await asyncio.sleep(0.5)
        print("idle", time.process_time() - began < 0.2)
        for peer, _ in again:
            peer.settimeout(10)
            peer.send(b"heard")
            print(await loop.run_in_executor(None, peer.recv, 10))
        for _, transport in again:
            transport.close()
        for peer, _ in again:
            print(await loop.run_in_executor(None, peer.recv, 10))
        os.close(begin)
        os.waitpid(pid, 0)
        for peer, _ in peers:
            with __import__("contextlib").suppress(ConnectionResetError):
                print(peer.recv(10))
        server.close()
        await server.wait_closed()
        for peer, _ in peers + again:
            peer.close()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    """
    status, out, error = children.run_python(
        HOLDER + textwrap.dedent(code), driver, "-W", "ignore::DeprecationWarning"
    )
    assert (status, error) == (0, "")
    assert out.splitlines()[:7] == ["idle True", *["b'heard'"] * 3, *["b''"] * 3]


def test_the_loop_lives_when_what_a_child_holds_is_reported_and_no_descriptor_is_left(driver):
    code = """
    import resource, socket
    class Told(asyncio.Protocol):
        def connection_made(self, transport):
            made.set_result(transport)
    async def main():
        global made
        loop = asyncio.get_running_loop()
        made = loop.create_future()
        server = await loop.create_server(Told, "127.0.0.1", 0)
        peer = socket.create_connection(server.sockets[0].getsockname())
        transport = await made
        pid, begin = holder()
        transport.abort()
        await asyncio.sleep(0.01)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        peer.send(b"nobody reads this")
        await asyncio.sleep(0.1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await asyncio.sleep(0.01)
        began = time.process_time()
        await asyncio.sleep(0.5)
        print("idle", time.process_time() - began < 0.2)
        os.close(begin)
        os.waitpid(pid, 0)
        peer.close()
        server.close()
        await server.wait_closed()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    """
    status, out, error = children.run_python(
        HOLDER + textwrap.dedent(code), driver, "-W", "ignore::DeprecationWarning"
    )
    assert (status, out, error) == (0, "idle True\n", "")


def test_fork_from_another_thread_while_the_loop_sleeps(driver):
    code = """
    loop = new_loop()
    def other():
        time.sleep(0.05)
        pid = os.fork()
        if not pid:
            mine = new_loop()
            os._exit(mine.run_until_complete(asyncio.sleep(0.001, 7)))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        loop.call_soon_threadsafe(loop.stop)
        print(status)
    thread = threading.Thread(target=other)
    thread.start()
    loop.run_forever()
    thread.join()
    loop.close()
    """
    status, out, _ = children.run_python(code, driver, "-W", "ignore::DeprecationWarning")
    assert (status, out) == (0, "7\n")


def test_multiprocessing_by_fork(driver):
    code = """
    import multiprocessing
    def work(n):
        loop = new_loop()
        try:
            return loop.run_until_complete(asyncio.sleep(0.001, n * 2))
        finally:
            loop.close()
    async def main():
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(work, range(4))
    with asyncio.Runner(loop_factory=new_loop) as runner:
        print(runner.run(main()))
    """
    status, out, _ = children.run_python(code, driver, "-W", "ignore::DeprecationWarning")
    assert (status, out) == (0, "[0, 2, 4, 6]\n")


def test_a_child_that_exits_in_the_middle_of_a_run_has_its_own_status(driver):
    code = """
    async def main():
        task = asyncio.ensure_future(asyncio.sleep(30))
        await asyncio.sleep(0)
        pid = os.fork()
        if not pid:
            sys.exit(6)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
        task.cancel()
        return os.waitstatus_to_exitcode(status)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        print(runner.run(main()))
    """
    status, out, err = children.run_python(code, driver, "-W", "ignore::DeprecationWarning")
    assert (status, out) == (0, "6\n")
    assert "never awaited" not in err
