"""Tutorial E: at the IPython prompt.

In: loop = asyncio.get_event_loop(); task = loop.create_task(a());
task.add_done_callback(callback); await task  ->  "Result: A", Out: 'A'.
asyncio.create_task at the prompt, outside an await: RuntimeError "no running
event loop".  (The text gives another thread as the reason; there is one thread
and one loop, which only does not run between two prompts.)
"""
import asyncio

import _seed as seed
from _seed import print

seed.need("IPython")
from IPython.core.interactiveshell import InteractiveShell      # noqa: E402


def main():
    # For IPython 7, which awaits on get_event_loop(); from 8 on it makes and
    # keeps a loop of its own with asyncio.new_event_loop().
    asyncio.set_event_loop(asyncio.new_event_loop())
    shell = InteractiveShell.instance()
    shell.autoawait = True
    got = {}
    shell.push({"print": print, "got": got})

    def cell(text, fails=None):
        result = shell.run_cell(text, silent=fails is not None)
        error = result.error_before_exec or result.error_in_exec
        if fails is None:
            if error is not None:
                raise error
        else:
            seed.check(isinstance(error, fails), "%r from %r" % (error, text))
            return error
        return result.result

    cell("""
import asyncio
from functools import partial
async def a():
    await asyncio.sleep(0.05)
    return 'A'
""")
    cell("import warnings; warnings.simplefilter('ignore')")
    cell("async def where():\n    return asyncio.get_running_loop()\ngot['loop'] = await where()")
    ipython_loop = got["loop"]
    asyncio.set_event_loop(ipython_loop)
    seed.check(type(ipython_loop) is seed.loop_class() or isinstance(ipython_loop, seed.loop_class()),
               "IPython awaits on %r" % ipython_loop)
    cell("loop = asyncio.get_event_loop()")
    cell("task = loop.create_task(a())")
    cell("def callback(future):\n    print(f'Result: {future.result()}')")
    cell("task.add_done_callback(callback)")
    seed.equal(cell("await task"), "A")
    seed.expect("Result: A")

    # with arguments: partial
    cell("def callback2(future, n):\n    print(f'Result: {future.result()}, N: {n}')")
    cell("task = loop.create_task(a())")
    cell("task.add_done_callback(partial(callback2, n=1))")
    seed.equal(cell("await task"), "A")
    seed.expect("Result: A, N: 1")

    error = cell("c = a(); asyncio.create_task(c)", fails=RuntimeError)
    seed.check("no running event loop" in str(error))
    cell("c.close()")
    # In the same cell as an await the loop runs, and it works.
    seed.equal(cell("t = asyncio.create_task(a()); await t"), "A")
    # Tasks left at the prompt go on at the next await, on the same loop.
    cell("background = loop.create_task(a())")
    cell("await asyncio.sleep(0.1)")
    seed.equal(cell("background.result()"), "A")
    cell("loop2 = await where()")
    seed.equal(cell("loop2 is loop"), True)


if __name__ == "__main__":
    seed.run(main)
