"""The shapes in the command line's JSON documents (version 1).

Every document is ``{"version": 1, "command": NAME, …}``; when a command cannot be carried out it has, beside these,
only ``"error": {"kind", "message", "exit_code"}``. Times are seconds since the epoch, spans are seconds.

=========  ==========================================================================================================
command    further fields
=========  ==========================================================================================================
run        ``run`` (a run), ``result`` (any JSON), ``error`` (an error or null), ``tally`` {executed, replayed,
           seconds_saved}; the same for resume and retry, and for demo with ``report`` (a path)
ls         ``runs``: a list of runs
show       ``run``, ``calls`` (a list of calls), ``drives`` [{holder, opened, last, closed, replayed,
           seconds_saved}], ``divergences`` [{path, reason}], ``retries``
why        ``run``, ``headline``, ``error``, ``frame``, ``known`` (what regrow has established of the error, or null:
           {type, path, layer, confidence, evidence, facts, history, remedies, text}), ``culprits`` (calls),
           ``unfinished`` (calls), ``overcome`` (calls), ``tried`` (sentences), ``last_seen`` (sentences),
           ``divergences``, ``finished``, ``ways`` [{what, command}]
logs       ``run``, ``lines``: [{number, time, path, attempt, level, text}]
cancel     ``run``, ``asked`` (whether the run's driver was asked; otherwise it was ended here)
resolve    ``run``, ``path``, ``happened``; with --retry the fields of ``run`` too
doctor     ``host`` (facts by name), ``limits`` [{name, in_force, meaning}], ``runs`` (how many were checked),
           ``records``, ``blobs``, ``problems`` [{run, record, text}], ``notes`` (sentences)
gc         ``dry_run``, ``runs`` (a list of runs), ``blobs`` (how many), ``bytes``
version    ``regrow``, ``python``, ``sqlite``, ``platform``
=========  ==========================================================================================================

A *run* is {id, short, task, key, project, status, created, ended, epoch, holder, cancel_requested_by}, a *call* {path,
name, kind, status, started, seconds, inputs, chunks, checkpoints, attempts, children}, an *attempt* {number, outcome,
started, seconds, error, retry_at, remedy, chosen_by, counts, worker}, a *remedy* {type, …}, a *worker* {pid, host,
started, resources, enforced_by, size_from, kills, boot, queued, grown, samples, peak, limit, ended, how, cpu_seconds,
signal, code} in bytes and seconds, an *error* {type, message, layer, notes, text, frame, frames, cause, members}, and
a *frame* {file, line, function, code, own}.
"""

from __future__ import annotations

from typing import Any

import msgspec

from regrow.codec import ErrorRecord, Frame
from regrow.engine.driver import Tally
from regrow.insight.runs import short
from regrow.insight.tree import Attempt, CallNode
from regrow.insight.why import Explanation, own_frame
from regrow.journal.store import RunRow

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
    }


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
        "attempts": [_attempt_document(one) for one in call.attempts],
        "children": [call_document(one) for one in call.children] if deep else [],
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
    }


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
