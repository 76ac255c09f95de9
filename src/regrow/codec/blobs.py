"""What the codec needs of a place for large contents."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Blobs(Protocol):
    """A store of contents by their digest."""

    def put_file(self, path: Path) -> str:
        """Store a file's content.

        Args:
            path: a local file.

        Returns:
            The sha256 of the content, in hex.
        """

    def path_of(self, digest: str) -> Path:
        """Give a local, read-only file with a content.

        Args:
            digest: what `put_file` returned.

        Raises:
            Corrupted: there is no such content.
        """
