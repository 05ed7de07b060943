"""conbrio's names in asyncio's places, and its loop: `--loop installed:new_event_loop`."""
import conbrio
from conbrio import _swaps

_swaps.hold()
new_event_loop = conbrio.new_event_loop
