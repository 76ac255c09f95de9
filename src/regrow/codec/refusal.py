"""Why a value cannot be stored, on its way out to the place that knows the value's name."""

from __future__ import annotations

from typing import Final

from regrow.errors import NotStorable

_SHOWN_STEPS: Final = 12


class Refused(Exception):
    """A value has no durable form.

    Its path is put together while this travels up, so that walking a value that *is* storable builds no path at all.
    (Passing a path down cost a third of the time of encoding a dataclass.)
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.steps: list[str] = []

    def within(self, step: str) -> None:
        """Add the next outer step of the path, such as ``.field``, ``['key']`` or ``[3]``."""
        self.steps.append(step)

    def at(self, where: str) -> NotStorable:
        """Give the public error.

        Args:
            where: the name of the outermost value.
        """
        steps = self.steps[::-1]
        if len(steps) > _SHOWN_STEPS:
            half = _SHOWN_STEPS // 2
            steps = [*steps[:half], " … ", *steps[-half:]]
        return NotStorable(where + "".join(steps), self.reason)
