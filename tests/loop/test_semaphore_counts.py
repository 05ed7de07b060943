"""Counts of a semaphore that are no whole numbers: asyncio counts with them, and so does ours."""

import asyncio

import pytest

conbrio = pytest.importorskip("conbrio")


async def given_at_first(kit):
    semaphore = kit.Semaphore(2.5)
    yield semaphore._value
    semaphore.release()
    yield semaphore._value, semaphore.locked()


async def put_in_later(kit):
    semaphore = kit.Semaphore(2)
    semaphore._value = 1.5
    await semaphore.acquire()
    yield semaphore._value, semaphore.locked()
    semaphore.release()
    yield semaphore._value
    semaphore._value = 3
    async with semaphore:
        yield semaphore._value, repr(semaphore).partition(" [")[2]
    yield semaphore._value


async def put_in_while_somebody_waits(kit):
    semaphore = kit.Semaphore(0)
    waiting = asyncio.ensure_future(semaphore.acquire())
    await asyncio.sleep(0)
    semaphore._value = 0.5
    semaphore.release()
    yield await waiting, semaphore._value


async def bounded(kit):
    semaphore = kit.BoundedSemaphore(2.5)
    await semaphore.acquire()
    semaphore.release()
    yield semaphore._value, semaphore._bound_value
    with pytest.raises(ValueError, match="too many times"):
        semaphore.release()


@pytest.mark.parametrize(
    "program", [given_at_first, put_in_later, put_in_while_somebody_waits, bounded]
)
def test_odd_counts_are_counted_as_asyncio_does(run, program):
    async def main():
        ours = [step async for step in program(conbrio)]
        assert ours == [step async for step in program(asyncio)]

    run(main())
