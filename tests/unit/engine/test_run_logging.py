"""What user code logs: kept while it runs inside a run, and otherwise none of our business."""

from __future__ import annotations

import logging

import pytest

import regrow
from regrow.engine.run_logging import _RunLogging, run_logging
from regrow.testing import MemoryStore


@pytest.fixture(autouse=True)
def factory():
    """Begin with Python's own way of making log records, whoever else still listens; leave it as it was."""
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    yield
    logging.setLogRecordFactory(before)


@regrow.task
def speaking() -> str:
    logging.getLogger("mine").warning("at work on %s", 5)
    return "done"


def lines(store):
    return [line for _, line in store.read_logs(store.runs()[0].id)]


def test_a_line_is_kept_with_its_call_its_level_and_its_text():
    store = MemoryStore()
    regrow.run(speaking, store=store)
    (line,) = lines(store)
    assert (line.path, line.attempt, line.level, line.text) == ("speaking#1", 1, "WARNING", "at work on 5")
    assert store.get(store.runs()[0].id).created <= line.time


def test_nobody_listens_when_no_run_is_under_way():
    before = run_logging._listeners
    regrow.run(speaking, store=MemoryStore())
    assert run_logging._listeners == before


def test_hosts_listen_each_on_their_own_account(monkeypatch):
    asked = []
    monkeypatch.setattr("regrow.engine.run_logging.scope_here", lambda: asked.append(1))
    ours = _RunLogging()
    ours.begin()
    ours.begin()
    ours.end()
    logging.getLogger("mine").info("x")
    logging.makeLogRecord({})
    logging.getLogRecordFactory()("n", 20, "p", 1, "m", (), None)
    assert len(asked) >= 1
    ours.end()
    asked.clear()
    logging.getLogRecordFactory()("n", 20, "p", 1, "m", (), None)
    assert asked == []


def test_a_factory_that_somebody_had_set_makes_the_records_still():
    class Own(logging.LogRecord):
        pass

    logging.setLogRecordFactory(Own)
    ours = _RunLogging()
    ours.begin()
    try:
        assert isinstance(logging.getLogRecordFactory()("n", 20, "p", 1, "m", (), None), Own)
        ours.begin()  # and it is not taken for somebody else's the second time
        assert isinstance(logging.getLogRecordFactory()("n", 20, "p", 1, "m", (), None), Own)
    finally:
        ours.end()
        ours.end()


def test_what_is_logged_in_a_run_that_is_over_is_not_kept():
    store = MemoryStore()
    seen = []

    class Late(logging.Filter):
        def filter(self, record):
            seen.append(record)
            return True

    @regrow.task
    def agent() -> str:
        from regrow.engine.branches import scope_here

        scope = scope_here()
        scope.driver.halted = regrow.Divergence("agent#1", "edited")
        logging.getLogger("mine").warning("too late")
        scope.driver.halted = None
        return "done"

    regrow.run(agent, store=store)
    assert lines(store) == []
