"""A loop that asks the system by poll instead of by epoll: `--loop polled:new_event_loop`."""
import conbrio


def new_event_loop():
    return conbrio.Loop(driver="poll")
