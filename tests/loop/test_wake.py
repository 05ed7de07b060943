"""Work that comes while the loop makes up its mind to sleep: nothing of it may be slept over."""

import asyncio
import threading

import pytest


@pytest.fixture
def other_clock(conbrio, driver, no_leaks):
    """A loop of a subclass whose ``time()`` first calls ``loop.before``: Python code between deciding and waiting."""

    class Clocked(conbrio.Loop):
        """Calls ``before`` whenever the time is asked for."""

        before = staticmethod(lambda: None)

        def time(self):
            self.before()
            return super().time()

    loop = Clocked(driver=driver)
    yield loop
    loop.close()


@pytest.mark.conbrio_only
def test_work_from_a_thread_while_the_clock_is_read(other_clock):
    def hand_in():
        other_clock.before = lambda: None
        thread = threading.Thread(target=other_clock.call_soon_threadsafe, args=(other_clock.stop,))
        thread.start()
        thread.join()

    other_clock.call_later(60, lambda: pytest.fail("slept over it"))
    other_clock.call_soon(setattr, other_clock, "before", hand_in)
    other_clock.run_forever()


def test_a_loop_in_another_thread_hears_everything(loop):
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    for _ in range(500):
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
