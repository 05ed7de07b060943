"""The interpreter ends with work pending: quietly, at once, and with the right status."""

import pytest

from loopkit import children, subject

ENDINGS = {
    "a loop never run": "loop = new_loop()",
    "a loop not closed": "loop = new_loop(); loop.run_until_complete(asyncio.sleep(0))",
    "callbacks pending": "loop = new_loop(); [loop.call_soon(print, n) for n in range(1000)]",
    "timers pending": "loop = new_loop(); [loop.call_later(n, print, n) for n in range(1000)]",
    "tasks pending": """
        loop = new_loop()
        tasks = [loop.create_task(asyncio.sleep(60)) for _ in range(100)]
        loop.run_until_complete(asyncio.sleep(0))
        for task in tasks: task._log_destroy_pending = False
        """,
    "futures pending": """
        loop = new_loop()
        futures = [loop.create_future() for _ in range(100)]
        for future in futures: future.add_done_callback(print)
        """,
    "a connection open": """
        loop = new_loop()
        async def main():
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
            return await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
        kept = loop.run_until_complete(main())
        """,
    "a watch set": """
        loop = new_loop()
        import socket
        near, far = socket.socketpair()
        loop.add_reader(near, print)
        """,
    "a signal handler set": """
        loop = new_loop()
        loop.add_signal_handler(signal.SIGUSR1, print)
        """,
    "a thread that calls": """
        loop = new_loop()
        def call():
            while True:
                try:
                    loop.call_soon_threadsafe(int)
                except RuntimeError:
                    return
        threading.Thread(target=call, daemon=True).start()
        loop.run_until_complete(asyncio.sleep(0.05))
        """,
    "a running loop in a daemon thread": """
        loop = new_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        time.sleep(0.05)
        """,
    "a busy loop in a daemon thread": """
        loop = new_loop()
        def spin():
            loop.call_soon(spin)
        loop.call_soon(spin)
        threading.Thread(target=loop.run_forever, daemon=True).start()
        time.sleep(0.05)
        """,
    "busy tasks in a daemon thread": """
        loop = new_loop()
        async def spin():
            while True:
                await asyncio.sleep(0)
        task = loop.create_task(spin())
        threading.Thread(target=loop.run_forever, daemon=True).start()
        time.sleep(0.05)
        task._log_destroy_pending = False
        """,
    "sys.exit inside": """
        loop = new_loop()
        async def main():
            asyncio.create_task(asyncio.sleep(0))
            sys.exit(0)
        loop.run_until_complete(main())
        """,
    "an atexit function that uses it": """
        import atexit
        loop = new_loop()
        atexit.register(lambda: loop.run_until_complete(asyncio.sleep(0.001)))
        """,
    "a cycle through modules": """
        loop = new_loop()
        sys.kept = [loop, loop.create_future(), loop.call_soon(print), loop.call_later(1, print)]
        """,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_ends_well(driver, ending):
    status, _, err = children.run_python(ENDINGS[ending], driver)
    assert status == 0, err
    assert "Fatal" not in err
    assert "panicked" not in err


@pytest.mark.parametrize("ending", ENDINGS)
def test_ends_well_in_development_mode(driver, ending):
    status, _, err = children.run_python(ENDINGS[ending], driver, "-X", "dev")
    assert status == 0, err
    assert "Fatal" not in err
    assert "panicked" not in err


def test_an_exception_out_of_run_gives_the_usual_status(driver):
    code = """
    async def main():
        raise ValueError("words")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    """
    status, _, err = children.run_python(code, driver)
    assert status == 1
    assert err.rstrip().endswith("ValueError: words")


def test_pending_tasks_are_told_at_exit(driver):
    code = """
    loop = new_loop()
    task = loop.create_task(asyncio.sleep(60), name="left behind")
    loop.run_until_complete(asyncio.sleep(0))
    del task
    loop.close()
    del loop
    import gc
    gc.collect()
    """
    status, _, err = children.run_python(code, driver)
    assert status == 0
    assert "Task was destroyed but it is pending!" in err
    assert "left behind" in err


def test_import_in_a_thread_and_use_in_another(driver):
    code = """
    ends = []
    def make():
        ends.append(new_loop())
    thread = threading.Thread(target=make)
    thread.start(); thread.join()
    def use():
        ends.append(ends[0].run_until_complete(asyncio.sleep(0.001, "used")))
    thread = threading.Thread(target=use)
    thread.start(); thread.join()
    ends[0].close()
    print(ends[1])
    """
    assert children.output(code, driver) == "used\n"


def test_a_long_chain_of_futures_is_freed_without_deep_recursion(driver):
    """Each future is the result of the next; freeing the last frees all, within a small stack."""
    if not subject.is_conbrio():
        pytest.skip("some versions of asyncio crash")
    code = """
    loop = new_loop()
    chain = None
    for _ in range(200_000):
        future = loop.create_future()
        future.set_result(chain)
        chain = future
    del chain, future
    loop.close()
    print("fine")
    """
    assert children.output(code, driver) == "fine\n"


def test_tasks_that_wait_for_each_other_are_cancelled_or_say_why_not(driver):
    """Cancelling runs in circles; it ends in RecursionError, never in a crash."""
    code = """
    loop = new_loop()
    loop.set_exception_handler(lambda *_: None)
    tasks = []
    async def each(number):
        await asyncio.sleep(0)
        await tasks[1 - number]
    tasks += [loop.create_task(each(0)), loop.create_task(each(1))]
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    try:
        tasks[0].cancel()
        print("cancelled")
    except RecursionError:
        print("recursion")
    for task in tasks:
        task._log_destroy_pending = False
    loop.close()
    """
    status, out, err = children.run_python(code, driver)
    assert status == 0, err
    assert out in ("cancelled\n", "recursion\n")


def test_a_long_chain_of_tasks_is_cancelled(driver):
    code = """
    loop = new_loop()
    async def link(level):
        if level:
            await loop.create_task(link(level - 1))
        else:
            await loop.create_future()
    task = loop.create_task(link(300))
    for _ in range(610):
        loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    try:
        loop.run_until_complete(task)
    except asyncio.CancelledError:
        print("cancelled", len(asyncio.all_tasks(loop)))
    loop.close()
    """
    assert children.output(code, driver) == "cancelled 0\n"


def test_a_deep_chain_of_tasks_never_crashes(driver):
    """Too deep a chain may end in RecursionError; the process lives."""
    code = """
    loop = new_loop()
    loop.set_exception_handler(lambda *_: None)
    kept = []
    async def link(level):
        if level:
            kept.append(loop.create_task(link(level - 1)))
            await kept[-1]
        else:
            await loop.create_future()
    task = loop.create_task(link(20_000))
    loop.call_later(0.5, loop.stop)
    loop.run_forever()
    try:
        task.cancel()
    except RecursionError:
        pass
    for each in [task, *kept]:
        each._log_destroy_pending = False
    loop.call_later(0.5, loop.stop)
    loop.run_forever()
    print("alive")
    sys.stdout.flush()
    os._exit(0)
    """
    status, out, err = children.run_python(code, driver)
    if subject.is_asyncio() and status < 0:
        pytest.skip("this version of asyncio crashes")
    assert (status, out) == (0, "alive\n"), err


@pytest.mark.parametrize("what", ["task", "future"])
def test_what_nobody_has_retrieved_is_told_at_exit(driver, what):
    code = f"""
        loop = new_loop()
        async def fails(): raise ValueError("the reason")
        kept = loop.create_task(fails()) if {what == "task"} else loop.create_future()
        if not {what == "task"}: kept.set_exception(ValueError("the reason"))
        loop.run_until_complete(asyncio.sleep(0))
        class Last:
            def __del__(self, told=loop.call_exception_handler): told({{"message": repr(kept)}})
        last = Last()
        """
    status, _, complaints = children.run_python(code, driver)
    assert status == 0
    assert "ImportError" not in complaints
    assert "exception was never retrieved" in complaints
