"""What came of a run that has ended, for whoever asks afterwards."""

from __future__ import annotations

from typing import Any

from regrow.codec import rebuild
from regrow.engine.host import Host
from regrow.engine.state import RunState, fold
from regrow.errors import Corrupted, RunCancelled, UnknownRun
from regrow.journal.chain import unseal_all
from regrow.journal.records import CallSucceeded


def outcome_of(host: Host, run: str) -> Any:
    """Give the result of a run that has ended, or raise what ended it.

    Raises:
        RunCancelled: it was cancelled.
        UnknownRun: it has not ended, or does not exist.
    """
    state = fold(unseal_all(run, host.store.read(run)))
    ended = state.ended
    if ended is None:
        if host.store.get(run).outcome is not None:
            raise Corrupted(f"run {run}: it has ended, and the record of its end is missing")
        raise UnknownRun(run, f"run {run} has not ended")
    if ended.outcome == "cancelled":
        raise RunCancelled(run, f"run {run} was {ended.reason or 'cancelled'}")
    if ended.error is not None:
        error = rebuild(ended.error)
        error.add_note(f"regrow: this is what run {run} failed of; `regrow retry {run}` tries again what failed")
        raise error
    return host.vault.load(_root_value(run, state))


def _root_value(run: str, state: RunState) -> Any:
    for call in state.children(""):
        if isinstance(call.outcome, CallSucceeded):
            return call.outcome.value
    raise UnknownRun(run, f"run {run} has no recorded result")
