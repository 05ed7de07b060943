"""Which Future and Task there are: native ones, or CPython's where a probe of its layout failed.

The loop makes the same choice for ``create_future`` and ``create_task``. Does not know what is
probed, nor why a probe failed: ``build_info()`` says that.
"""

from ._conbrio import NATIVE_TASKS

__all__ = ["Future", "Task"]

if NATIVE_TASKS:
    from ._conbrio import Future, Task
else:
    from asyncio import Future, Task  # type: ignore[assignment]  # their bases, in their place
