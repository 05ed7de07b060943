"""Tutorial B, "Greenlet" and "Switch": what the text says of them.

Each greenlet has a parent, the topmost is the main one of its thread; it starts
at the first switch with an empty stack; a switch holds one up and lets the
other go on; it dies when its function returns or an exception leaves it (which
goes to the parent); values travel through switch(), exceptions through throw().
"""
import _seed as seed
from _seed import print

module = seed.need("greenlet")
greenlet, getcurrent, GreenletExit = module.greenlet, module.getcurrent, module.GreenletExit


def main():
    top = getcurrent()
    seed.check(top.parent is None, "the main greenlet has no parent")

    def body(first):
        print("started with", first)
        second = top.switch("one")
        print("went on with", second)
        return "end"

    g = greenlet(body)
    seed.check(g.parent is top and not g and not g.dead, "made, not started")
    seed.equal(g.switch("A"), "one")
    seed.check(bool(g), "alive while held up")
    seed.equal(g.switch("B"), "end", "its return value goes to the parent")
    seed.check(g.dead and not g)
    seed.expect("started with A", "went on with B")

    def fails():
        raise LookupError("out of the greenlet")

    g = greenlet(fails)
    with seed.raises(LookupError, "out of the greenlet"):
        g.switch()
    seed.check(g.dead)

    def catches():
        try:
            top.switch("ready")
        except KeyError as e:
            return "caught %r" % e

    g = greenlet(catches)
    seed.equal(g.switch(), "ready")
    seed.equal(g.throw(KeyError("x")), "caught KeyError('x')")

    g = greenlet(lambda: top.switch("waiting"))
    g.switch()
    result = g.throw(GreenletExit("bye"))
    seed.check(isinstance(result, GreenletExit), "GreenletExit ends it without an error")

    # A child's end goes to its own parent, not to the main greenlet.
    def inner():
        return "inner's value"

    def outer():
        child = greenlet(inner)
        seed.check(child.parent is getcurrent())
        return "outer got " + child.switch()

    seed.equal(greenlet(outer).switch(), "outer got inner's value")


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
