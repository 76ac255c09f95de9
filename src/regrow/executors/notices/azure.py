"""Scheduled events of Azure.

The answers are those of *Azure Metadata Service: Scheduled Events for Linux VMs*. A machine is told of the events of
its whole scale set or availability set, so an event counts only if it names this machine, whose name comes from *Azure
Instance Metadata Service* (``compute/name``). `Freeze` is no notice: the machine goes on, with its memory, after
seconds.

The documentation allows up to two minutes for the first answer that a machine ever gets, because asking is what
switches the service on. Until then a look ends in `BadAnswer`, and the next one asks again.

Rejected: approving an event (``StartRequests``) once the work is saved. It would end the machine for everything else
that runs on it, and for other machines that the event names.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec

from regrow.executors.notices.metadata import LINK_LOCAL, TIMEOUT, ask, excerpt, refusal
from regrow.executors.notices.notice import BadAnswer, NotHere, Notice

_EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"
_NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
_HEADERS = {"Metadata": "true"}

_INTERRUPTIONS = frozenset(("Preempt", "Terminate", "Reboot", "Redeploy"))

_OTHERS_SAY = frozenset((HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND))
"""What the servers of the other two answer to a path that they do not know, or that lacks their own header."""


class Event(msgspec.Struct, frozen=True, rename="pascal"):
    """What counts here of one scheduled event.

    Attributes:
        event_id: of the event, as long as it lasts.
        event_type: what will happen.
        resources: the names of the machines to which it will happen.
        not_before: when, at the earliest, as ``Mon, 19 Sep 2016 18:29:47 GMT``; blank once it has begun.
        description: for people.
    """

    event_id: str
    event_type: str
    resources: tuple[str, ...] = ()
    not_before: str | None = None
    description: str | None = None


class _Document(msgspec.Struct, rename="pascal"):
    events: tuple[Event, ...]


class AzureWatcher:
    """Watches for the eviction of a spot machine, and for maintenance that ends or restarts one."""

    source = "azure"

    def __init__(self, base_url: str = LINK_LOCAL, *, timeout: float = TIMEOUT) -> None:
        """Ask the metadata service at `base_url`, waiting `timeout` seconds for each answer."""
        self._base_url = base_url
        self._timeout = timeout
        self._name: str | None = None

    def look(self) -> Notice | None:
        """Look once. See `Watcher`."""
        answer = ask(self._base_url, _EVENTS, _HEADERS, timeout=self._timeout)
        if answer.status in _OTHERS_SAY:
            raise NotHere(f"{self._base_url} knows no scheduled events: status {answer.status}")
        if answer.status != HTTPStatus.OK:
            raise refusal(answer, "scheduled events of Azure")
        interruptions = read_interruptions(answer.body)
        return most_urgent(interruptions, self._machine()) if interruptions else None

    def _machine(self) -> str | None:
        """Give this machine's name, asked for once; None as long as it cannot be had."""
        if self._name is None:
            try:
                answer = ask(self._base_url, _NAME, _HEADERS, timeout=self._timeout)
                self._name = (answer.text() or None) if answer.status == HTTPStatus.OK else None
            except (BadAnswer, NotHere):
                return None
        return self._name


def read_interruptions(body: bytes) -> tuple[Event, ...]:
    """Read the events that interrupt a machine, this one or others of its set.

    Raises:
        BadAnswer: it is no document of scheduled events.
    """
    try:
        document = msgspec.json.decode(body, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise BadAnswer(f"scheduled events of Azure: {problem}, in {excerpt(body)}") from problem
    return tuple(event for event in document.events if event.event_type in _INTERRUPTIONS)


def most_urgent(events: tuple[Event, ...], machine: str | None) -> Notice | None:
    """Choose the event that comes first to this machine; one that has begun comes before all others.

    Args:
        events: that interrupt machines.
        machine: this one's name. None if it is not known; then any event counts, because stopping work that has
            checkpoints for a neighbour's sake costs less than losing it.
    """
    mine = [_notice(event) for event in events if machine is None or _names(event, machine)]
    return min(mine, key=lambda notice: -1.0 if notice.at is None else notice.at, default=None)


def _names(event: Event, machine: str) -> bool:
    return not event.resources or machine.casefold() in (name.casefold() for name in event.resources)


def _notice(event: Event) -> Notice:
    """Tell an event in the same words while it is scheduled and when it has begun, so that it is one notice."""
    of = f" of {', '.join(event.resources)}" if event.resources else ""
    why = f": {event.description}" if event.description else ""
    text = f"Azure announces {event.event_type}{of}{why} (event {event.event_id})"
    return Notice("azure", event.event_type.lower(), _moment(event.not_before), text)


def _moment(not_before: str | None) -> float | None:
    """Read when. A moment that cannot be read is taken as not said: what is announced stays announced."""
    try:
        return parsedate_to_datetime(not_before).timestamp() if not_before else None
    except ValueError:
        return None
