"""No memory for one object: whoever asked for it gets a `MemoryError`, and the process goes on."""

import pytest

from loopkit import children, subject

pytest.importorskip("_testcapi")

PROGRAM = """
    import _testcapi

    if {install}:
        import conbrio
        conbrio.install()

    class Own(asyncio.Queue):
        pass

    def attempts(deed):
        for number in range(12):
            _testcapi.set_nomemory(number, number + 1)
            try:
                deed()
            except BaseException as error:
                found = type(error).__name__
            else:
                found = "done"
            finally:
                _testcapi.remove_mem_hooks()
            print(found, flush=True)

    async def main():
        loop = asyncio.get_running_loop()
        queue = Own() if {derived} else asyncio.Queue()
        queue.put_nowait(1)
        get = queue._get
        def replace():
            queue._get = get
        attempts(replace)
        def run():
            loop.call_soon(int)
            loop.call_later(0, int).cancel()
            loop.create_future().set_result(None)
            loop.get_debug()
        attempts(run)

    loop = new_loop()
    loop.run_until_complete(main())
    loop.close()
"""


@pytest.mark.parametrize("derived", [False, True])
def test_what_finds_no_memory_says_so(driver, derived):
    program = PROGRAM.format(install=subject.is_conbrio(), derived=derived)
    status, out, err = children.run_python(program, driver)
    assert status == 0, err
    assert set(out.split()) <= {"done", "MemoryError"}
