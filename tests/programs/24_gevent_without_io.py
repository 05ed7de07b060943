"""Tutorial B: "without IO they run one after the other, no switch"."""
import _seed as seed
from _seed import print

gevent = seed.need("gevent")


def main():
    def work(name, give_way):
        for i in range(3):
            print(name, i)
            if give_way:
                gevent.sleep(0)

    gevent.joinall([gevent.spawn(work, "a", False), gevent.spawn(work, "b", False)])
    seed.expect("a 0", "a 1", "a 2", "b 0", "b 1", "b 2")
    gevent.joinall([gevent.spawn(work, "a", True), gevent.spawn(work, "b", True)])
    seed.expect("a 0", "b 0", "a 1", "b 1", "a 2", "b 2")


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
