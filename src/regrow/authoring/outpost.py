"""Where a fork server begins: the one place besides `home` that puts the parts together, in the other process."""

from __future__ import annotations

import sys

from regrow.executors.warm import serve
from regrow.healing.ladder import Ladder


def main() -> None:
    """Be the fork server that the command line describes."""
    serve(sys.argv[1], Ladder())
