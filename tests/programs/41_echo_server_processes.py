"""Tutorial D, first echo server: a process for each connection.

The original's handler sends the first message for ever (`while message:` never
reads again); ours reads again.  The contrast with the loop: each side blocks in
its own process.
"""
import multiprocessing
import os
import socket

import _seed as seed


def handler(conn, addr):
    message = conn.recv(1024)
    while message:
        conn.sendall(b"%d:" % os.getpid() + message)
        message = conn.recv(1024)
    conn.close()


def server(listener, count, context):
    processes = []
    for _ in range(count):
        conn, addr = listener.accept()
        process = context.Process(target=handler, args=(conn, addr))
        process.start()
        conn.close()
        processes.append(process)
    for p in processes:
        p.join()


def main():
    # The connection is handed to the child by fork, as in the original.
    context = multiprocessing.get_context("fork")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(10)
    boss = context.Process(target=server, args=(listener, 3, context))
    boss.start()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    pids = set()
    for round in range(2):
        for n, c in enumerate(clients):
            c.sendall(b"hello %d" % n)
            pid, _, text = c.recv(1024).partition(b":")
            seed.equal(text, b"hello %d" % n)
            pids.add(int(pid))
    seed.equal(len(pids), 3)
    for c in clients:
        c.close()
    boss.join(30)
    seed.equal(boss.exitcode, 0)
    listener.close()


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
