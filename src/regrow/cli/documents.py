"""The shapes in the command line's JSON documents (version 1).

Every document is ``{"version": 1, "command": NAME, …}``; when a command cannot be carried out it has, beside these,
only ``"error": {"kind", "message", "exit_code"}``. Times are seconds since the epoch, spans are seconds,
costs are US dollars.

=========  ==========================================================================================================
command    further fields
=========  ==========================================================================================================
run        ``run`` (a run), ``result`` (any JSON), ``error`` (an error or null), ``tally`` {executed, replayed,
           seconds_saved, cached, cached_seconds}; the same for resume and retry, and for demo with ``report`` (a path)
ls         ``runs``: a list of runs, ``problems`` [{run, text}] (runs whose row in the list of runs is damaged)
show       ``run``, ``calls`` (a list of calls), ``drives`` [{holder, opened, last, closed, replayed,
           seconds_saved}], ``divergences`` [{path, reason}], ``retries``,
           ``forked`` (null, or {type, run, at, upto, replaced, inputs}), ``cost``, ``inherited_cost``
why        ``run``, ``headline``, ``error``, ``frame``, ``known`` (what regrow has established of the error, or null:
           {type, path, layer, confidence, evidence, facts, history, remedies, text}), ``culprits`` (calls),
           ``unfinished`` (calls), ``overcome`` (calls), ``tried`` (sentences), ``last_seen`` (sentences),
           ``divergences``, ``finished``, ``ways`` [{what, command}], ``stop`` (null, or as in stop: what keeps it
           from going on)
logs       ``run``, ``lines``: [{number, time, path, attempt, level, text}]
cancel     ``run``, ``asked`` (whether the run's driver was asked; otherwise it was ended here)
pause      ``run``, ``asked`` (whether a driver was)
stop       ``stops`` [{project (null for all), by, since, reason}], ``running`` (runs that are still held)
resolve    ``run``, ``path``, ``happened``; with --retry the fields of ``run`` too
fork       the fields of ``run``; with --no-run ``run``, ``parent`` (an id), ``unchecked`` (paths of the calls whose
           new result was taken as plain JSON)
diff       ``left``, ``right`` (runs), ``same`` (how many calls), ``part_at`` (a path), ``calls`` [{path, differences
           [{aspect, left, right}], left_seconds, right_seconds}], ``totals`` [{calls, failed_attempts, seconds, cost}]
inbox      ``asks``: [{id, run, project, asked, due, digest, decided, question {text, kind, run, path, task, schema,
           evidence [{title, text}], inputs, choices, to, approvals, due, default}, answers [{who, how, time, value,
           verdict, why, number, refused, nonce}]}]
answer     ``ask`` (as in inbox), ``run``; with --resume the fields of ``run`` too
signal     ``run``, ``name``, ``place`` (among all signals to the run), ``awaited`` (whether something waited for one of
           this name), ``waits_for`` (the names that were waited for)
cache      as ``cache ls``: ``artifacts`` (a list of artifacts); as ``cache show``: ``artifact``, ``value`` (as text, or
           null), ``error`` (an error or null), ``problem`` (why it cannot be read, or null); as ``cache rm`` and
           ``cache gc``: ``dry_run``, ``artifacts`` (those that go), ``bytes``
export     ``run``, ``file`` (a path), ``bytes``, ``source`` {name, sha256, as_run} or null
import     ``run``, ``fresh`` (whether it was not there before), ``source`` {name, as_run, placed} or null,
           ``memories`` (the names of those that came along)
check      ``runs`` [{run, fits, replayed, goes_on_at, parted}]
doctor     ``host`` (facts by name), ``limits`` [{name, in_force, meaning}], ``runs`` (how many were checked),
           ``records``, ``blobs``, ``problems`` [{run, record, text}], ``notes`` (sentences)
gc         ``dry_run``, ``runs`` (a list of runs), ``blobs`` (how many), ``bytes``
memory …   ls: ``memories`` [{name, version, created, written, messages, bytes, forked_from}]; show: ``memory``,
           ``at``, ``messages``, ``documents``, ``files``, ``quarantined`` [{run, step, actor, source}], ``history``
           (lists of entries); diff: ``memory``, ``a``, ``other``, ``b``, ``added``, ``removed``, ``changed``
           [{before, after}]; revert: ``memory``, ``to``, ``at``; quarantine, release: ``memory``, ``at``, ``suspect``,
           ``reason``; export: as show, with documents and files by key; rm: ``memory``, ``removed``, ``users``
version    ``regrow``, ``python``, ``sqlite``, ``platform``
=========  ==========================================================================================================

A *run* is {id, short, task, key, project, status, created, ended, epoch, holder, cancel_requested_by, waits_for,
paused_by, paused_at, waits_for_signal}, a *call* {path, name, kind, status, started, seconds, inputs, chunks,
checkpoints, asked (null, or {id, question, digest, due, how, said, answered_by}), attempts, children, hit, cost}, an
*attempt* {number, outcome, started, seconds, error, retry_at, remedy, chosen_by, counts, worker}, a *remedy* {type, …},
a *hit* {run, path, time, seconds, cost} (where the cache had the outcome from) or null, an *artifact* {key, project,
ref, run, path, computed, seconds, cost, failed, hits, used, size}, a *worker* {pid, host, started, resources,
enforced_by, size_from, kills, boot, queued, grown, samples, peak, limit, ended, how, cpu_seconds, signal, code} in
bytes and seconds, an *error* {type, message, layer, notes, text, frame, frames, cause, members}, and a *frame* {file,
line, function, code, own}.
"""

from __future__ import annotations

from typing import Any

import msgspec

from regrow.codec import ErrorRecord, Frame
from regrow.engine.news import Tally
from regrow.insight.diff import RunDifference
from regrow.insight.runs import short
from regrow.insight.tree import Attempt, CallNode
from regrow.insight.why import Explanation, own_frame
from regrow.journal.cache import ArtifactRow
from regrow.journal.orders import Stop
from regrow.journal.store import RunRow
from regrow.values.money import in_dollars

Document = dict[str, Any]


def run_document(row: RunRow) -> Document:
    """Give a run."""
    return {
        "id": row.id,
        "short": short(row.id),
        "task": row.task,
        "key": row.key,
        "project": row.project,
        "status": row.status,
        "created": row.created,
        "ended": row.ended,
        "epoch": row.epoch,
        "holder": row.holder,
        "cancel_requested_by": row.cancel_requested_by,
        "waits_for": row.waits_for,
        "paused_by": row.paused_by,
        "paused_at": row.paused_at,
        "waits_for_signal": row.waits_for_signal,
    }


def stop_document(stop: Stop) -> Document:
    """Give a stop; without a project it is the whole store's."""
    return {"project": stop.project or None, "by": stop.actor, "since": stop.time, "reason": stop.reason}


def call_document(call: CallNode, *, deep: bool = True) -> Document:
    """Give a call, with those inside it unless it is not to go deep."""
    return {
        "path": call.path,
        "name": call.name,
        "kind": call.kind,
        "status": call.status,
        "started": call.started,
        "seconds": call.seconds,
        "inputs": call.inputs,
        "chunks": call.chunks,
        "checkpoints": call.checkpoints,
        "asked": call.asked,
        "attempts": [_attempt_document(one) for one in call.attempts],
        "children": [call_document(one) for one in call.children] if deep else [],
        "hit": None if call.hit is None else msgspec.structs.asdict(call.hit) | {"cost": in_dollars(call.hit.cost)},
        "cost": in_dollars(call.cost),
    }


def _attempt_document(attempt: Attempt) -> Document:
    return {
        "number": attempt.number,
        "outcome": attempt.outcome,
        "started": attempt.started,
        "seconds": attempt.seconds,
        "error": error_document(attempt.error),
        "retry_at": attempt.retry_at,
        "remedy": attempt.remedy,
        "chosen_by": attempt.chosen_by,
        "counts": attempt.counts,
        "worker": attempt.worker,
    }


def why_document(row: RunRow, why: Explanation) -> Document:
    """Give an explanation of a run."""
    return {
        "run": run_document(row),
        "headline": why.headline,
        "error": error_document(why.error),
        "frame": frame_document(why.frame),
        "known": why.known,
        "culprits": [call_document(one, deep=False) for one in why.culprits],
        "unfinished": [call_document(one, deep=False) for one in why.unfinished],
        "overcome": [call_document(one, deep=False) for one in why.overcome],
        "tried": why.tried,
        "last_seen": why.last_seen,
        "divergences": [{"path": one.path, "reason": one.reason} for one in why.divergences],
        "finished": why.finished,
        "ways": why.ways,
        "stop": None if why.stop is None else stop_document(why.stop),
    }


def artifact_document(row: ArtifactRow, size: int) -> Document:
    """Give what the cache holds of one call; `size` is that with its blobs."""
    shown = {name: value for name, value in msgspec.structs.asdict(row).items() if name != "blobs"}
    return shown | {"cost": in_dollars(row.cost), "size": size}


def difference_document(found: RunDifference) -> Document:
    """Give what differs between two runs."""
    totals = [msgspec.structs.asdict(one) | {"cost": in_dollars(one.cost)} for one in (found.left, found.right)]
    return {"same": found.same, "part_at": found.part_at, "calls": found.calls, "totals": totals}


def error_document(error: ErrorRecord | None) -> Document | None:
    """Give an error: its text as people see it, and its parts."""
    if error is None:
        return None
    return {
        "type": error.type,
        "message": error.message,
        "layer": error.layer,
        "notes": error.notes,
        "text": error.render(),
        "frame": frame_document(own_frame(error)),
        "frames": [frame_document(one) for one in error.frames],
        "cause": error_document(error.cause),
        "members": [error_document(one) for one in error.members],
    }


def frame_document(frame: Frame | None) -> Document | None:
    """Give one place in the code."""
    if frame is None:
        return None
    return {"file": frame.file, "line": frame.line, "function": frame.function, "code": frame.code, "own": frame.own}


def tally_document(tally: Tally) -> Document:
    """Give what was executed and what was taken from the journal."""
    return msgspec.structs.asdict(tally)
