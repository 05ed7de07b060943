"""The watchers of gevent_on_asyncio: each is a handle, a reader or a signal handler of the asyncio loop."""
import os
import signal as signalmodule

from gevent.monkey import get_original


class Watcher:
    """Base of all watchers: callback, args, ref, active, start, stop, close."""
    _callback = None
    _args = None
    priority = None

    @property
    def callback(self):
        return self._callback

    @callback.setter
    def callback(self, value):
        if value is not None and not callable(value):
            raise TypeError("Expected callable, not %r" % (value,))
        self._callback = value

    @property
    def args(self):
        return self._args

    @args.setter
    def args(self, value):
        if value is not None and not isinstance(value, tuple):
            raise TypeError("args must be a tuple or None")
        self._args = value
    _active = False

    def __init__(self, loop, ref=True, priority=None):
        self.loop = loop
        self._ref_flag = bool(ref)
        if priority is not None:
            self.priority = priority

    # -- what subclasses do
    def _on(self):
        raise NotImplementedError

    def _off(self):
        raise NotImplementedError

    @property
    def ref(self):
        return self._ref_flag

    @ref.setter
    def ref(self, value):
        value = bool(value)
        if value != self._ref_flag:
            if self._active:
                self.loop._ref(1 if value else -1)
            self._ref_flag = value

    @property
    def active(self):
        return self._active

    @property
    def pending(self):
        return False

    def start(self, callback, *args, **kwargs):
        if not callable(callback):
            raise TypeError("callback must be callable, not %r" % (callback,))
        was = self._active
        self.callback = callback
        self.args = args
        self._start_kwargs = kwargs
        if not was:
            self._active = True
            if self._ref_flag:
                self.loop._ref(1)
            try:
                self._on()
            except BaseException:
                self.stop()
                raise

    def stop(self):
        if self._active:
            self._active = False
            self._off()
            if self._ref_flag:
                self.loop._ref(-1)
        self.callback = None
        self.args = None

    def close(self):
        if self.loop is not None:
            self.stop()
            self.loop = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _fire(self, *extra):
        """Called by the asyncio loop, in the hub."""
        callback, args, loop = self.callback, self.args, self.loop
        if callback is None:
            return
        try:
            args = args or ()
            if self._start_kwargs.get("pass_events"):
                args = extra + args
            callback(*args)
        except BaseException:
            if self._active:
                self.stop()
            loop._handle_error(self)
        loop._quit_if_idle()


class IO(Watcher):
    def __init__(self, loop, fd, events, ref=True, priority=None):
        if fd < 0:
            raise ValueError("fd must be non-negative: %r" % fd)
        if events & ~3:
            raise ValueError("illegal event mask: %r" % events)
        os.fstat(fd)                              # EBADF here and now
        self.fd, self.events = fd, events
        super().__init__(loop, ref, priority)

    def _on(self):
        self.loop._io_add(self)

    def _off(self):
        self.loop._io_remove(self)


class Timer(Watcher):
    _handle = None

    def __init__(self, loop, after=0.0, repeat=0.0, ref=True, priority=None):
        if repeat < 0.0:
            raise ValueError("repeat must be positive or zero: %r" % repeat)
        self.after, self.repeat = max(after, 0.0), repeat
        super().__init__(loop, ref, priority)

    def _on(self):
        # after=0 still goes through the timers: gevent wants it after callbacks
        self._handle = self.loop.aio.call_later(self.after, self._expire)

    def _off(self):
        self._handle.cancel()

    def _expire(self):
        if self.repeat:
            self._handle = self.loop.aio.call_later(self.repeat, self._expire)
        else:
            # not active while its callback runs, which may start it again
            self._active = False
            if self._ref_flag:
                self.loop._ref(-1)
        callback = self.callback
        self._fire()
        if not self._active and self.callback is callback:
            self.callback = self.args = None

    def again(self, callback, *args, **kwargs):
        self.stop()
        if self.repeat:
            self.after = self.repeat
            self.start(callback, *args)


class Async(Watcher):
    def _on(self):
        self._sent = False

    def _off(self):
        pass

    def send(self):
        if not self._sent:
            self._sent = True
            self.loop.aio.call_soon_threadsafe(self._woken)

    def send_ignoring_arg(self, _):
        self.send()

    def _woken(self):
        self._sent = False
        if self._active:
            self._fire()

    @property
    def pending(self):
        return self._active and self._sent


class Signal(Watcher):
    def __init__(self, loop, signum, ref=True, priority=None):
        if signum < 1 or signum >= signalmodule.NSIG:
            raise ValueError("illegal signal number: %r" % signum)
        self.signum = signum
        super().__init__(loop, ref, priority)

    def _on(self):
        self.loop._signal_watchers.setdefault(self.signum, []).append(self)
        self.loop.aio.add_signal_handler(self.signum, self.loop._signal, self.signum)

    def _off(self):
        watchers = self.loop._signal_watchers[self.signum]
        watchers.remove(self)
        if not watchers:
            self.loop.aio.remove_signal_handler(self.signum)


class Child(Watcher):
    rpid = None
    rstatus = 0
    _pidfd = None

    def __init__(self, loop, pid, trace=0, ref=True):
        if not loop.default:
            raise TypeError("child watchers are only available on the default loop")
        self.pid = pid
        super().__init__(loop, ref)

    def _on(self):
        if self.pid == 0:
            return
        self._pidfd = os.pidfd_open(self.pid)
        self.loop.aio.add_reader(self._pidfd, self._exited)

    def _off(self):
        if self._pidfd is not None:
            self.loop.aio.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _exited(self):
        waitpid = get_original("os", "waitpid")
        try:
            pid, status = waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self.pid, 0
        if pid == self.pid:
            self.rpid, self.rstatus = pid, status
            self.loop.aio.remove_reader(self._pidfd)
            self._fire()


class Turn(Watcher):
    """idle, prepare, check: called once each turn of the loop while started."""
    def _on(self):
        self._handle = self.loop.aio.call_soon(self._again)

    def _off(self):
        self._handle.cancel()

    def _again(self):
        self._handle = self.loop.aio.call_soon(self._again)
        self._fire()


class Fork(Watcher):
    def _on(self):
        self.loop._fork_watchers.append(self)

    def _off(self):
        self.loop._fork_watchers.remove(self)


class Stat(Watcher):
    def __init__(self, loop, path, interval=0.0, ref=True, priority=None):
        self.path, self.interval = path, interval or 1.0
        self._paths = os.fsencode(path)
        self.prev = self.attr = None
        super().__init__(loop, ref, priority)

    def _look(self):
        try:
            return os.stat(self.path)
        except OSError:
            return None

    def _on(self):
        self.attr = self._look()
        self._handle = self.loop.aio.call_later(self.interval, self._poll)

    def _off(self):
        self._handle.cancel()

    def _poll(self):
        self._handle = self.loop.aio.call_later(self.interval, self._poll)
        now = self._look()
        if now != self.attr:
            self.prev, self.attr = self.attr, now
            self._fire()
