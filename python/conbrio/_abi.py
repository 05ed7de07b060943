"""Which builds of CPython conbrio fits: those with the interpreter lock.

A build without it lays out its objects in another way. Imported before the native module, so
that such an interpreter hears a sentence. Does not know the native module.
"""

import sys

__all__: list[str] = []

if "t" in sys.abiflags:
    raise ImportError(
        "conbrio needs a CPython with the interpreter lock; this is a free-threaded build"
    )
