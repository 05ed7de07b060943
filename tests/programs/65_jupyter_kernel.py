"""Tutorial E's question, asked of a notebook kernel (ipykernel).

There the loop runs all the time, between cells too: asyncio.create_task at the
prompt works, the task goes on after the cell has ended, and await in a later
cell is on the same loop.  The kernel is started with the loop under test.
"""
import os
import sys

import _seed as seed
from _seed import S

seed.need("ipykernel")
manager = seed.need("jupyter_client.manager")

LAUNCH = """
import sys
sys.path.insert(0, %r)
import _seed
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
""" % os.path.dirname(os.path.abspath(__file__))


def main():
    km = manager.KernelManager()
    km.kernel_spec.argv = [sys.executable, "-c", LAUNCH, "-f", "{connection_file}"]
    km.start_kernel(stderr=-3)
    client = km.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)

        def cell(text):
            result = {}

            def output(message):
                if message["msg_type"] == "execute_result":
                    result["value"] = message["content"]["data"]["text/plain"]
                if message["msg_type"] == "stream":
                    result["text"] = result.get("text", "") + message["content"]["text"]

            reply = client.execute_interactive(text, timeout=60, output_hook=output)
            seed.equal(reply["content"]["status"], "ok", "%r: %r" % (text, reply["content"]))
            return result

        want = seed.loop_class()
        cell("import asyncio, time\nasync def a():\n    await asyncio.sleep(%r)\n    return 'A'" % S(1))
        seed.equal(cell("loop = asyncio.get_running_loop()\n(type(loop).__module__, type(loop).__qualname__)"
                        )["value"], repr((want.__module__, want.__qualname__)), "the kernel's loop")
        cell("task = asyncio.create_task(a())")
        seed.equal(cell("await task")["value"], "'A'")
        seed.equal(cell("task.get_loop() is loop and asyncio.get_running_loop() is loop")["value"], "True")
        cell("done = []\ntask = asyncio.create_task(a())\ntask.add_done_callback(done.append)")
        cell("t = time.monotonic()\nawait asyncio.sleep(%r)" % S(1.5))
        seed.equal(cell("len(done)")["value"], "1", "it went on between the cells")
    finally:
        client.stop_channels()
        km.shutdown_kernel(now=True)


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
