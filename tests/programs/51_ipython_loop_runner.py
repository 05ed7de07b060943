"""Tutorial E: a loop_runner of one's own, `%autoawait loop_runner`.

loop_runner(coro): _set_running_loop(None); loop.run_until_complete(coro);
_set_running_loop(loop).  With _set_running_loop(loop) at the prompt,
asyncio.create_task works there and `await task` gives 'A'.  With the default
runner and the running loop set: "Cannot run the event loop while another loop
is running".  The original's runner returns nothing; today's IPython wants the
coroutine's result back (else run_cell gives None), so ours returns it.
"""
import asyncio

import _seed as seed
from _seed import print

seed.need("IPython")
from IPython.core.interactiveshell import InteractiveShell      # noqa: E402


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    shell = InteractiveShell.instance()
    shell.autoawait = True
    shell.push({"print": print, "loop": loop})

    def cell(text, fails=None):
        result = shell.run_cell(text, silent=fails is not None)
        error = result.error_before_exec or result.error_in_exec
        if fails is None and error is not None:
            raise error
        if fails is not None:
            seed.check(isinstance(error, fails), "%r from %r" % (error, text))
            return error
        return result.result

    cell("""
import asyncio
async def a():
    await asyncio.sleep(0.05)
    return 'A'
def loop_runner(coro):
    asyncio.events._set_running_loop(None)
    try:
        return loop.run_until_complete(coro)
    finally:
        asyncio.events._set_running_loop(loop)
""")
    cell("%autoawait loop_runner")
    cell("asyncio.events._set_running_loop(loop)")
    cell("task = asyncio.create_task(a())")
    seed.equal(cell("await task"), "A")
    seed.equal(cell("asyncio.get_running_loop() is loop"), True)
    seed.equal(cell("await asyncio.gather(asyncio.create_task(a()), a())"), ["A", "A"])

    cell("""
def plain_runner(coro):
    return loop.run_until_complete(coro)
""")
    cell("%autoawait plain_runner")
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)     # the coroutine IPython could not run
        error = cell("await asyncio.sleep(0)", fails=RuntimeError)
    seed.check("Cannot run the event loop while another loop is running" in str(error), str(error))
    asyncio.events._set_running_loop(None)
    loop.close()


if __name__ == "__main__":
    seed.run(main)
