"""The ways on from where a run stands, each with the command, or the words of code, that take it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from regrow.codec import Frame
from regrow.insight.established import Established
from regrow.insight.runs import short
from regrow.insight.tree import CallNode
from regrow.journal.store import RunRow
from regrow.remedies import AskHuman, Extend, Fallback, GiveUp, Grow, Remedy, Resume, RetryAfter
from regrow.values.ids import idempotency_key

_LADDER = 4
"""How far above its first step a suggested ladder ends at least: two doublings."""
_UNITS = (("Gi", 2**30), ("Mi", 2**20))


class WayOn(msgspec.Struct, frozen=True):
    """Something that can be done now.

    Attributes:
        what: what it does, in a few words.
        command: what to type; empty where there is nothing to type.
    """

    what: str
    command: str = ""


class Ending(msgspec.Struct, frozen=True):
    """What a failed run failed of.

    Attributes:
        kind: whether it was an outcome that nobody knows, code that does not fit its journal, or anything else.
        frame: the place in the user's own code that it came from.
        known: what regrow has established of it.
    """

    kind: Literal["unknown", "divergence", "other"] = "other"
    frame: Frame | None = None
    known: Established | None = None


def ways_on(
    row: RunRow, ending: Ending, unfinished: Sequence[CallNode], *, options: str = "", loading: str = ""
) -> tuple[WayOn, ...]:
    """Give what can be done now, the most likely first.

    Args:
        row: the run as the store lists it.
        ending: what it failed of, if it did.
        unfinished: its calls that had begun and not finished.
        options: what every command must be given.
        loading: what a command that loads the code must be given as well.
    """
    run = short(row.id)
    resume = f"regrow resume {run}{loading}{options}"
    retry = f"regrow retry {run}{loading}{options}"
    undecided = [one.path for one in unfinished if one.status == "unknown"]
    asked = [one.asked for one in unfinished if one.asked is not None and one.asked.how is None]
    answered = sorted({who for one in asked for who in one.answered_by})
    answers = tuple(
        WayOn(f"answer: {one.question}", f"regrow inbox {one.id}{options}") for one in asked if not one.answered_by
    )
    if row.waits_for_signal is not None:
        send = f"regrow signal {run} {shlex.quote(row.waits_for_signal)} JSON{options}"
        answers = (*answers, WayOn(f"send it the signal {row.waits_for_signal!r}", send))
    match row.status:
        case "running":
            return (
                *answers,
                WayOn("watch what it logs", f"regrow logs {run} -f{options}"),
                WayOn("hold it back for a while", f"regrow pause {run}{options}"),
                WayOn("stop it, with its finally blocks", f"regrow cancel {run}{options}"),
            )
        case "paused":
            return (*answers, WayOn("go on with it", resume), WayOn("give it up", f"regrow cancel {run}{options}"))
        case "waiting":
            return (
                *answers,
                WayOn("then go on; or go on now, and wait there", resume),
                WayOn("give it up", f"regrow cancel {run}{options}"),
            )
        case "succeeded":
            return ()
        case "interrupted" if undecided:
            return _resolving(row.id, undecided, f"{loading}{options}", WayOn("then go on", resume))
        case "interrupted":
            by_key = f"or start your program again: the key {row.key!r} finds this run"
            return (
                WayOn(
                    f"go on with what {', '.join(answered)} has answered"
                    if answered
                    else "go on where it stopped; nothing that is recorded is done again",
                    resume,
                ),
                *([WayOn(by_key)] if row.key is not None else []),
                WayOn("give it up", f"regrow cancel {run}{options}"),
            )
        case "cancelled":
            return (WayOn("take it up again where it was cancelled", retry),)
        case "failed":
            return _after_failure(ending, row.id, undecided, retry, f"{loading}{options}")


def _after_failure(ending: Ending, run: str, undecided: Sequence[str], retry: str, given: str) -> tuple[WayOn, ...]:
    match ending.kind:
        case "unknown" if undecided:
            return _resolving(run, undecided, given, WayOn("then go on", retry))
        case "unknown":
            return (WayOn("go on from that", retry),)
        case "divergence":
            return (
                WayOn("put the code back as it was, then", f"{retry} --strict"),
                WayOn("or accept the change: go on afresh from where they part", retry),
            )
        case "other":
            return tuple(_mending(ending, retry))


def _mending(ending: Ending, retry: str) -> Iterator[WayOn]:
    written = [WayOn(words) for words in remedies_in_code(ending.known)] if ending.known is not None else []
    yield from written
    frame = ending.frame
    if frame is not None:
        place = f"{frame.file}:{frame.line}"
        yield WayOn(f"{'or ' if written else ''}fix {place}, then try again only what failed", retry)
    else:
        yield WayOn(f"{'then ' if written else ''}try again only what failed", retry)


def _resolving(run: str, undecided: Sequence[str], given: str, then: WayOn) -> tuple[WayOn, ...]:
    if len(undecided) == 1:
        return resolving(run, undecided[0], f" --retry{given}")
    return (*(way for path in undecided for way in resolving(run, path, given)), then)


def resolving(run: str, path: str, given: str = "") -> tuple[WayOn, WayOn]:
    """Give the two ways to say what became of a once-only call whose outcome is unknown.

    Args:
        run: the run's whole id.
        path: of the call.
        given: what the command must be given besides.
    """
    name = path.rpartition("/")[2]
    command = f"regrow resolve {short(run)} {shlex.quote(path)}"
    return (
        WayOn(
            f"{name} happened: its idempotency key {idempotency_key(run, path)} is where its effect would be",
            f"{command} --happened JSON{given}",
        ),
        WayOn(f"{name} certainly did not happen: that key is not there", f"{command} --did-not-happen{given}"),
    )


def remedies_in_code(known: Established) -> Iterator[str]:
    """Give a failure's remedies as what to write into the decorator of its task."""
    owner = known.path.rpartition("/")[2].partition("#")[0]
    for remedy in known.remedies:
        if words := _in_code(remedy):
            yield f"{words}{f', on {owner}' if owner else ''}"
    if known.type == "OutOfMemory" and not any(isinstance(one, Grow) for one in known.remedies):
        yield "it had all the memory that this host can give: let it need less, or run it on a larger machine"


def _in_code(remedy: Remedy) -> str:
    match remedy:
        case Grow():
            return f"give it more: {'; '.join(_grown(remedy))}"
        case Extend(timeout=timeout):
            return f"give it more time: timeout={_span(timeout)}"
        case Resume():
            return "let it begin again more often: on_preempted=regrow.resume(times)"
        case RetryAfter(seconds=seconds) if seconds > 0:
            return f"let it wait and try again by itself: retries=3, backoff=regrow.Backoff(base={_span(seconds)})"
        case RetryAfter():
            return "let it try again by itself: retries=3"
        case Fallback() | GiveUp() | AskHuman():
            return ""


def _grown(remedy: Grow) -> Iterator[str]:
    if remedy.memory is not None:
        top = 1 << (_LADDER * remedy.memory - 1).bit_length()  # a power of two, because people write those
        yield f"memory={_size(remedy.memory)} or on_oom=regrow.grow(2, max={_size(top)})"
    if remedy.disk is not None:
        yield f"disk={_size(remedy.disk)}"
    if remedy.output is not None:
        yield f"output={_size(remedy.output)}"
    if remedy.processes is not None:
        yield f"processes={remedy.processes}"


def _size(amount: int) -> str:
    """Give an amount as people write it, rounded up to whole MiB: ``'512Mi'``."""
    whole = math.ceil(amount / 2**20) * 2**20
    return next(f"'{whole // size}{unit}'" for unit, size in _UNITS if whole % size == 0)


def _span(seconds: float) -> str:
    return f"'{seconds:g}s'"
