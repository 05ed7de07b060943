"""Tutorial B, "greenlet": two tasks that switch to each other.

---A--, ---B--, ---A--, ... (the original never ends; ours after 4 rounds), each
round 0.5 s asleep on either side.
"""
import time

import _seed as seed
from _seed import S, print

greenlet = seed.need("greenlet").greenlet


def main():
    rounds = 4

    def task1():
        for _ in range(rounds):
            print("---A--")
            gr2.switch()
            time.sleep(S(0.5))

    def task2():
        while True:
            print("---B--")
            gr1.switch()
            time.sleep(S(0.5))

    gr1 = greenlet(task1)
    gr2 = greenlet(task2)
    with seed.timed(0.5 * rounds + 0.5 * (rounds - 1), "plain sleeps do not overlap"):
        gr1.switch()
    seed.expect(*["---A--", "---B--"] * rounds)
    seed.check(gr1.dead and not gr2.dead)


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
