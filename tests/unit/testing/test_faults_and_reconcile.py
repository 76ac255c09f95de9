"""A fault of a once-only task is for the task, and not for whoever is asked what became of it."""

from __future__ import annotations

import regrow
from regrow.testing import MemoryStore, faults, lost_worker


def test_a_lost_worker_of_a_once_only_task_is_reconciled():
    @regrow.task(once=True, memory="64Mi", reconcile=lambda amount: regrow.Happened(f"found {amount}"))
    async def charge(amount: int) -> str:
        return f"charged {amount}"

    @regrow.task
    async def agent() -> str:
        return await charge(5)

    with faults(lost_worker("charge")):
        assert regrow.run(agent, store=MemoryStore()) == "found 5"
