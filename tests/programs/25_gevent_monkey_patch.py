"""Tutorial B, "Monkey-patching": what patch_all changes.

socket, ssl, threading, select, time, ... become cooperative: plain blocking
code (a socket server with one thread per client, select.select, a lock, a
queue) runs side by side in one OS thread.
"""
import _seed as seed
from _seed import S, print

seed.need("gevent")
from gevent import monkey                          # noqa: E402
monkey.patch_all()

import queue                                       # noqa: E402
import select                                      # noqa: E402
import socket                                      # noqa: E402
import threading                                   # noqa: E402
import time                                        # noqa: E402

import gevent                                      # noqa: E402


def main():
    for name in ("socket", "ssl", "threading", "select", "time", "os", "subprocess", "queue"):
        seed.check(monkey.is_module_patched(name), name + " is patched")

    real_ident = monkey.get_original("_thread", "get_ident")
    idents = set()

    def client_thread(conn):
        idents.add(real_ident())
        while True:
            data = conn.recv(100)
            if not data:
                break
            conn.sendall(data.upper())
        conn.close()

    def server(listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=client_thread, args=(conn,), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    job = gevent.spawn(server, listener)
    port = listener.getsockname()[1]

    def client(n):
        idents.add(real_ident())
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"hello %d" % n)
            time.sleep(S(1))
            return s.recv(100)

    with seed.timed(1, "20 clients that each sleep 1"):
        jobs = [gevent.spawn(client, n) for n in range(20)]
        gevent.joinall(jobs, raise_error=True)
    seed.equal([j.value for j in jobs], [b"HELLO %d" % n for n in range(20)])
    seed.equal(len(idents), 1, "all in one OS thread")

    a, b = socket.socketpair()
    with seed.timed(1, "select.select"):
        gevent.spawn_later(S(1), b.send, b"x")
        seed.equal(select.select([a], [], [], 60)[0], [a])
    with seed.timed(0.5, "socket timeout"):
        a.recv(1)
        a.settimeout(S(0.5))
        with seed.raises(socket.timeout):
            a.recv(1)

    q = queue.Queue()
    with seed.timed(0.5, "queue.get"):
        gevent.spawn_later(S(0.5), q.put, "item")
        seed.equal(q.get(), "item")
    event = threading.Event()
    with seed.timed(0.5, "threading.Event"):
        threading.Timer(S(0.5), event.set).start()
        seed.check(event.wait(60))
    listener.close()
    job.kill()
    for s in (a, b):
        s.close()
    print("patched")


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
