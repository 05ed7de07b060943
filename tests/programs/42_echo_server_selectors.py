"""Tutorial D, second echo server: selectors.DefaultSelector.

"Wait for IO, then run what there is to run": the two steps of every event loop.
The original never forgets a closed connection; ours does.
"""
import selectors
import socket
import threading

import _seed as seed


def handler(selector, conn):
    message = conn.recv(1024)
    if message:
        conn.sendall(message)
    else:
        selector.unregister(conn)
        conn.close()


def server(listener, stop):
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(stop, selectors.EVENT_READ)
    while True:
        event_list = selector.select()
        for key, events in event_list:
            conn = key.fileobj
            if conn == listener:
                new_conn, addr = conn.accept()
                selector.register(new_conn, selectors.EVENT_READ)
            elif conn == stop:
                selector.close()
                return
            else:
                handler(selector, conn)


def main():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(10)
    stop, stopper = socket.socketpair()
    thread = threading.Thread(target=server, args=(listener, stop))
    thread.start()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
    for round in range(3):
        for n, c in enumerate(clients):
            c.sendall(b"hello %d %d" % (n, round))
        for n, c in enumerate(clients):
            seed.equal(c.recv(1024), b"hello %d %d" % (n, round))
    for c in clients:
        c.close()
    stopper.send(b"x")
    thread.join(30)
    seed.check(not thread.is_alive())
    for s in (listener, stop, stopper):
        s.close()


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
