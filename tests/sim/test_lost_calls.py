"""Code that has lost all of its calls has lost them, too."""

from __future__ import annotations

import pytest

import regrow
from regrow.testing import Crash, CrashingStore

from .lives import divergences, live


def test_a_task_whose_only_call_was_taken_away_is_named_when_it_ends():
    edited = []

    @regrow.step
    def charge() -> None: ...

    @regrow.task
    def agent() -> None:
        if not edited:
            charge()

    store = CrashingStore()
    store.die_after(4)  # the run, the driver, the task, and the charge
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    edited.append(True)
    live(agent, store=store)
    (said,) = divergences(store)
    assert said.startswith("agent#1/charge#1")
