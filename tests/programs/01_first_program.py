"""Tutorial A, section 1: the first program.

get_event_loop() inside a coroutine gives the running loop, loop.create_task()
starts a coroutine beside the caller, a blocking HTTP call inside it holds the
loop up (the original calls requests.get in a coroutine), the program ends in
try / finally: event_loop.close().  Ours talks to a server thread on loopback.
"""
import asyncio
import http.server
import threading
import time
import urllib.request

import _seed as seed
from _seed import S, print


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(S(0.5))                      # a slow page: the loop must stall on it
        body = b"page"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def main_program():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    url = "http://127.0.0.1:%d/" % server.server_port
    gaps = []

    async def ticker():
        while True:
            t = time.monotonic()
            await asyncio.sleep(S(0.05))
            gaps.append(time.monotonic() - t)

    async def task_func():
        await asyncio.sleep(S(1))
        with urllib.request.urlopen(url) as resp:   # blocks the loop, as in the original
            print(f"task_func: {resp.read().decode()}")

    async def main(loop):
        running = asyncio.get_event_loop()
        seed.check(running is loop, "get_event_loop() in a coroutine is the running loop")
        seed.check(running is asyncio.get_running_loop())
        task = loop.create_task(task_func())
        tick = loop.create_task(ticker())
        await asyncio.sleep(S(2))
        print("main loop")
        seed.check(task.done() and task.result() is None)
        tick.cancel()

    event_loop = asyncio.new_event_loop()
    asyncio.set_event_loop(event_loop)
    try:
        with seed.timed(2, "main(loop)"):
            event_loop.run_until_complete(main(event_loop))
    finally:
        event_loop.close()
    seed.check(event_loop.is_closed())
    seed.check(not event_loop.is_running())
    seed.expect("task_func: page", "main loop")
    seed.check(max(gaps) >= S(0.5) - seed.EARLY, "the blocking call held the whole loop up")
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    seed.run(main_program)
