"""The command line: `regrow`."""

from regrow.cli.app import main

__all__ = ["main"]
