"""What sizes that worked say about the next one.

A pure decision over what a store remembers. It only ever asks for more than the author declared: what was declared is a
floor that somebody has thought about, and a task that once got by with less may have been lucky with its data.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from regrow.journal.store import SIZES_KEPT, SizeSeen

_HEADROOM_PERCENT = 15
"""Above a known peak: equal inputs do not use equal memory, for allocators and threads differ from run to run."""
_STEP = 16 * 2**20
"""Bytes to which a need is rounded up, so that a peak that wavers a little does not give a new size each time."""


def suggested_memory(seen: Sequence[SizeSeen], declared: int) -> SizeSeen | None:
    """Say with which memory limit to begin, if earlier attempts are known to have needed more than was declared.

    Args:
        seen: what is remembered of the task with inputs of this class, newest first; see `Store.sizes`.
        declared: the limit that the author asks for, in bytes.

    Returns:
        The attempt that needed most, with that need as its `memory`; None if what was declared is enough.
    """
    needs = [msgspec.structs.replace(one, memory=_needed(one)) for one in seen[:SIZES_KEPT]]
    most = max(needs, key=lambda one: one.memory, default=None)
    return most if most is not None and most.memory > declared else None


def _needed(seen: SizeSeen) -> int:
    """Give the bytes that an attempt needed: its peak with some headroom, but no more than was seen to be enough."""
    if seen.peak is None:
        return seen.memory
    steps = -(-seen.peak * (100 + _HEADROOM_PERCENT) // (100 * _STEP))
    needed = steps * _STEP
    # Where only a watchdog looks, an attempt may have used more than it should have, and have come through.
    return needed if seen.peak > seen.memory else min(needed, seen.memory)
