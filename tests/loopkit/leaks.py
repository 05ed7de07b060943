"""What a process holds: open descriptors and threads, seen before and after."""

import gc
import os
import threading


def descriptors() -> dict[int, str]:
    """Return the open descriptors of this process and what each stands for."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def threads() -> list[str]:
    """Return the names of the threads that run Python."""
    return sorted(thread.name for thread in threading.enumerate())


def count(kind: type) -> int:
    """Return how many objects of exactly ``kind`` the collector knows."""
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())


class Watch:
    """Remembers what was held when it was made and says what is held in excess."""

    def __init__(self) -> None:
        self.descriptors = descriptors()
        self.threads = threads()

    def excess(self) -> list[str]:
        """Return a sentence for each descriptor and thread that was not held before."""
        now = descriptors()
        left = [
            f"descriptor {fd} to {now[fd]}" for fd in now if self.descriptors.get(fd) != now[fd]
        ]
        left += [f"descriptor {fd} is gone" for fd in self.descriptors if fd not in now]
        return left + [f"thread {name}" for name in threads() if name not in self.threads]
