"""What a task is given: amounts that it may not pass, and that the host keeps free for it."""

from __future__ import annotations

import msgspec

from regrow.remedies import Grow
from regrow.values.sizes import readable_size

OUTPUT_BYTES = 64 * 2**20
"""What a worker may print unless its task says otherwise: ten thousand pages, and no endless loop."""
PROCESSES = 128
"""How many processes a worker may have unless its task says otherwise."""


class Resources(msgspec.Struct, frozen=True):
    """What one attempt of a task in a worker process may use.

    Attributes:
        memory: bytes, of all its processes together, above what the warm interpreter holds anyway; None for no limit.
        cpu: processors, for whole or in part. Also the number of threads that numeric libraries are told to use.
        gpu: devices that it alone sees.
        disk: bytes in its scratch folder; None for no limit.
        output: bytes that it may print.
        processes: how many processes it may have at a time.
    """

    memory: int | None = None
    cpu: float = 1.0
    gpu: int = 0
    disk: int | None = None
    output: int = OUTPUT_BYTES
    processes: int = PROCESSES

    def grown(self, remedy: Grow) -> Resources:
        """Give these resources with a remedy's larger ones in their place."""
        return msgspec.structs.replace(
            self, **{name: value for name, value in msgspec.structs.asdict(remedy).items() if value is not None}
        )

    def describe(self) -> str:
        """Give them in a line."""
        parts = [f"{readable_size(self.memory)} of memory" if self.memory is not None else "memory without limit"]
        parts.append(f"{self.cpu:g} processor{'' if self.cpu == 1 else 's'}")
        if self.gpu:
            parts.append(f"{self.gpu} gpu{'' if self.gpu == 1 else 's'}")
        if self.disk is not None:
            parts.append(f"{readable_size(self.disk)} of scratch disk")
        return ", ".join(parts)
