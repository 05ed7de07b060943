"""Tutorial B, "Yield": producer and consumer by generators.
No loop; the exact output of the text."""
import _seed as seed
from _seed import print


def consumer():
    r = ""
    while True:
        n = yield r
        if not n:
            return
        print("consumer %s" % n)
        r = "200 OK"


def producer(c):
    c.__next__()
    n = 0
    while n < 3:
        n = n + 1
        print("producer %s" % n)
        r = c.send(n)
        print("producer return %s" % r)
    c.close()


def main():
    producer(consumer())
    want = []
    for n in (1, 2, 3):
        want += ["producer %d" % n, "consumer %d" % n, "producer return 200 OK"]
    seed.expect(*want)


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
