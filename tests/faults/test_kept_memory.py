"""What a burst leaves behind: a little memory, for a while."""

import pytest

from loopkit import children, subject

pytestmark = pytest.mark.skipif(not subject.is_conbrio(), reason="others keep nothing")

CODE = """
import resource

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def burst(mebibytes):
    # Objects of 64 bytes.
    things = [bytes(31) for _ in range(mebibytes * 2**14)]
    del things

async def main():
    await asyncio.sleep(0.001)
    MEASURE

with asyncio.Runner(loop_factory=new_loop) as runner:
    runner.run(main())
"""


def measured(code: str) -> list[float]:
    """Return the numbers that ``code`` prints in a running loop."""
    code = CODE.replace("MEASURE", "\n    ".join(code.splitlines()))
    return [float(word) for word in children.output(code, None, PYTHONMALLOC="pymalloc").split()]


def test_a_second_burst_asks_the_system_for_half_at_most():
    code = """burst(12)
before = faults()
burst(12)
print(faults() - before)"""
    (taken,) = measured(code)
    # Twelve mebibytes have 3,072 pages.
    assert taken < 1500


def test_not_much_is_kept_and_not_for_long():
    code = """before = resident()
burst(100)
after = resident()
for _ in range(150):
    await asyncio.sleep(0.0001)
print(after - before, resident() - before)"""
    after, later = measured(code)
    assert after < 24
    assert later < 6


@pytest.mark.slow
def test_the_queues_room_is_given_back():
    code = """loop = asyncio.get_running_loop()
before = resident()
for _ in range(1_000_000):
    loop.call_soon(int)
await asyncio.sleep(0)
for _ in range(150):
    await asyncio.sleep(0.0001)
print(resident() - before)"""
    # A million places take eight mebibytes or more.
    assert measured(code)[0] < 6
