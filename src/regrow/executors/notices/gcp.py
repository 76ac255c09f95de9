"""Preemption and host maintenance notices of Google Compute Engine.

The answers are those of *Create and use Spot VMs* (``instance/preempted`` is ``TRUE`` or ``FALSE``) and *Query metadata
server for maintenance event notices* (``instance/maintenance-event``), both in the Compute Engine documentation. By
*View and query VM metadata* each request carries ``Metadata-Flavor: Google``, and so does each answer that is Google's.

Neither key says when. A live migration is no notice: the machine goes on, with its memory, after a short pause.

Rejected: ``wait_for_change=true``, with which the server holds its answer back until the value changes. It would need a
thread of its own for each key, which could not be stopped while it waits, to learn a second earlier what leaves thirty.
"""

from __future__ import annotations

from http import HTTPStatus

from regrow.executors.notices.metadata import LINK_LOCAL, TIMEOUT, Answer, ask, refusal
from regrow.executors.notices.notice import BadAnswer, NotHere, Notice

_INSTANCE = "/computeMetadata/v1/instance/"
_FLAVOR = "Metadata-Flavor"


class GcpWatcher:
    """Watches for the preemption of a Spot VM, and for maintenance that ends a machine."""

    source = "gcp"

    def __init__(self, base_url: str = LINK_LOCAL, *, timeout: float = TIMEOUT) -> None:
        """Ask the metadata server at `base_url`, waiting `timeout` seconds for each answer."""
        self._base_url = base_url
        self._timeout = timeout

    def look(self) -> Notice | None:
        """Look once. See `Watcher`."""
        preempted = read_preempted(self._value("preempted"))
        return preempted or read_maintenance_event(self._value("maintenance-event"))

    def _value(self, key: str) -> str:
        answer = ask(self._base_url, _INSTANCE + key, {_FLAVOR: "Google"}, timeout=self._timeout)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise refusal(answer, f"instance/{key} of Compute Engine")
        if not _is_googles(answer):
            raise NotHere(f"what answers at {self._base_url} is not Google's: it sends no {_FLAVOR}")
        if answer.status == HTTPStatus.NOT_FOUND:  # so do Google's servers for what is no virtual machine
            raise NotHere(f"{self._base_url} knows no instance/{key}: this is no machine of Compute Engine")
        if answer.status != HTTPStatus.OK:
            raise refusal(answer, f"instance/{key} of Compute Engine")
        return answer.text()


def _is_googles(answer: Answer) -> bool:
    return answer.headers.get(_FLAVOR) == "Google"


def read_preempted(value: str) -> Notice | None:
    """Read the value of ``instance/preempted``.

    Raises:
        BadAnswer: it is not one of the two.
    """
    match value:
        case "FALSE":
            return None
        case "TRUE":
            return Notice("gcp", "preempt", None, "Compute Engine preempts this machine")
        case _:
            raise BadAnswer(f"instance/preempted of Compute Engine is neither TRUE nor FALSE: {value[:80]!r}")


def read_maintenance_event(value: str) -> Notice | None:
    """Read the value of ``instance/maintenance-event``.

    Raises:
        BadAnswer: it is not one of the three.
    """
    match value:
        case "NONE" | "MIGRATE_ON_HOST_MAINTENANCE":
            return None
        case "TERMINATE_ON_HOST_MAINTENANCE":
            return Notice(
                "gcp", "terminate", None, "Compute Engine terminates this machine for maintenance of its host"
            )
        case _:
            raise BadAnswer(f"instance/maintenance-event of Compute Engine is not documented: {value[:80]!r}")
