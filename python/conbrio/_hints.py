"""Annotations are for readers and for checkers of types: asyncio's functions have none at run time.

``typing.get_type_hints`` would look for names that only a checker imports. Does not know whose
functions it is given.
"""

from __future__ import annotations

import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["unhinted"]


def unhinted(*bearers: Any) -> None:
    """Take the annotations off functions, and off what classes define in Python."""
    for bearer in bearers:
        found = [bearer] if isinstance(bearer, types.FunctionType) else list(vars(bearer).values())
        for function in found:
            if isinstance(function, types.FunctionType):
                # In place: a function that is given others is never specialised again.
                function.__annotations__.clear()
