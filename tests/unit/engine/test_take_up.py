"""What a process finds when it has taken up a run: perhaps not what it saw when it decided to."""

from __future__ import annotations

import pytest

import regrow
from regrow.engine.host import Host
from regrow.executors.inline import InlineExecutor
from regrow.healing.ladder import Ladder
from regrow.journal.chain import unseal_all
from regrow.journal.records import RunCreated, RunEnded
from regrow.journal.store import NewRun
from regrow.testing import MemoryStore


@pytest.mark.promise("P2", "P8")
def test_a_failed_run_that_another_process_has_meanwhile_brought_to_success_is_not_retried():
    store = MemoryStore()
    host = Host(store, InlineExecutor(), Ladder())
    run = store.create(NewRun("r" * 26, "module:work", 1.0)).id
    driver = host.take_up(run, created=RunCreated(run, "module:work", "", b"", b""))
    driver.hand_in(RunEnded("succeeded"))
    host.let_go(driver)
    with pytest.raises(regrow.RunOver, match="succeeded already"):
        host.take_up(run, retry_as="somebody")
    assert [type(record.event).__name__ for record in unseal_all(run, store.read(run))] == [
        "RunCreated",
        "DriverOpened",
        "RunEnded",
    ]
