"""Ctrl-C at any moment: nothing is lost, nothing is torn, and the run goes on."""

from __future__ import annotations

import gc
import linecache
import sys
from types import FrameType
from typing import Any

import pytest

import regrow
from regrow.engine.invariants import check_run
from regrow.testing import CrashingStore

from .lives import ledger, live, note, records_of

pytestmark = pytest.mark.promise("P8")


@regrow.step
def step(number: int) -> int:
    note(f"step {number}")
    return number


@regrow.task
def agent() -> int:
    return sum(step(number) for number in range(3))


class InterruptAtLine:
    """Raises KeyboardInterrupt, as a signal handler does, when the n-th line of the engine is about to run."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.seen = 0

    def __call__(self, frame: FrameType, event: str, _arg: Any) -> Any:
        name = frame.f_code.co_filename
        if "regrow/engine/" not in name:  # what a store does is one transaction
            return None
        # Python runs no signal handler between the end of a block and its lock's release, where tracing has a line too.
        if event == "line" and not linecache.getline(name, frame.f_lineno).lstrip().startswith(
            ("with ", "async with ")
        ):
            self.seen += 1
            if self.seen == self.line:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self


def interrupted_at(line: int, store: CrashingStore) -> bool:
    tracer = InterruptAtLine(line)
    # A collection would end, in the middle of this life, generators that an earlier interrupt left half-way: those
    # are lines of the engine too, and what is raised in them Python reports and drops.
    gc.disable()
    sys.settrace(tracer)
    try:
        live(agent, store=store)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
        gc.enable()
    return False


@pytest.mark.parametrize("offset", range(7))
def test_an_interrupt_at_any_line_of_the_engine_leaves_a_sound_journal_and_a_run_that_goes_on(
    offset: int, capsys: pytest.CaptureFixture[str]
) -> None:
    line, interrupted = 1 + offset, 0
    while True:
        ledger.clear()
        store = CrashingStore()
        if not interrupted_at(line, store):
            break
        interrupted += 1
        if store.runs():
            assert check_run(records_of(store)) == [], f"interrupted at line {line}"
        store.revive()
        assert live(agent, store=store) == 3, f"interrupted at line {line}"
        assert check_run(records_of(store)) == []
        assert all(times <= 2 for times in ledger.values()), f"interrupted at line {line}: {ledger}"
        line += 7
    capsys.readouterr()
    assert interrupted > 50
