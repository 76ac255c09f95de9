"""What a cloud provider announces about the machine that this host runs on.

A spot machine is taken away within seconds of a notice, and the notice stands where only a program on that machine can
read it. Each provider has a module that knows its documented answers; `board` asks them in turn and hands on what they
say. What is done about a notice is not decided here.
"""

from __future__ import annotations

from regrow.errors import UsageError
from regrow.executors.notices.aws import AwsWatcher
from regrow.executors.notices.azure import AzureWatcher
from regrow.executors.notices.board import NoticeBoard
from regrow.executors.notices.gcp import GcpWatcher
from regrow.executors.notices.notice import BadAnswer, NotHere, Notice, Watcher

__all__ = [
    "AwsWatcher",
    "AzureWatcher",
    "BadAnswer",
    "GcpWatcher",
    "NotHere",
    "Notice",
    "NoticeBoard",
    "Watcher",
    "watcher",
]


def watcher(name: str) -> Watcher:
    """Give a new watcher of the provider that is called ``aws``, ``gcp`` or ``azure``.

    Raises:
        UsageError: no provider is called that.
    """
    match name:
        case "aws":
            return AwsWatcher()
        case "gcp":
            return GcpWatcher()
        case "azure":
            return AzureWatcher()
        case _:
            raise UsageError(f"nobody watches for notices of {name!r}: the providers are 'aws', 'gcp' and 'azure'")
