"""asyncio's event loop in Rust: the names that people type.

Everything here is defined elsewhere. Importing it changes nothing in asyncio; ``install()``
does, and ``uninstall()`` undoes it.
"""

import sys

from . import _abi as _abi
from ._conbrio import Handle, TimerHandle, __version__, build_info
from ._fallback import Future, Task
from ._install import install, uninstall
from ._loop import Loop, new_event_loop
from ._runner import Runner, run
from ._streams import (
    StreamReader,
    StreamReaderProtocol,
    StreamWriter,
    open_connection,
    open_unix_connection,
    start_server,
    start_unix_server,
)
from ._sync import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    LifoQueue,
    Lock,
    PriorityQueue,
    Queue,
    Semaphore,
    TaskGroup,
    Timeout,
    as_completed,
    gather,
    shield,
    sleep,
    timeout,
    timeout_at,
    to_thread,
    wait,
    wait_for,
)

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Future",
    "Handle",
    "LifoQueue",
    "Lock",
    "Loop",
    "PriorityQueue",
    "Queue",
    "Runner",
    "Semaphore",
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "Task",
    "TaskGroup",
    "Timeout",
    "TimerHandle",
    "__version__",
    "as_completed",
    "build_info",
    "gather",
    "install",
    "new_event_loop",
    "open_connection",
    "open_unix_connection",
    "run",
    "shield",
    "sleep",
    "start_server",
    "start_unix_server",
    "timeout",
    "timeout_at",
    "to_thread",
    "uninstall",
    "wait",
    "wait_for",
]

if sys.version_info < (3, 16):
    from ._install import EventLoopPolicy as EventLoopPolicy

    __all__ += ["EventLoopPolicy"]
    __all__.sort()

del sys
