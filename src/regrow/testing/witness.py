"""What must hold in a simulated world, looked at after every record and every effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from regrow.engine.branches import scope_here
from regrow.engine.driver import Driver
from regrow.engine.invariants import check_run
from regrow.engine.state import RunState
from regrow.journal.chain import StoredRecord, unseal
from regrow.journal.memory import MemoryStore
from regrow.journal.records import (
    AttemptFailed,
    CallFailed,
    CallStarted,
    CallSucceeded,
    Diverged,
    DriverOpened,
    Event,
    OutcomeDecided,
    Record,
    RunRetried,
    Spent,
    WorkerEnded,
    WorkerGrown,
)
from regrow.remedies import Grow, Resume
from regrow.testing.processes import Processes
from regrow.testing.swarm import Situation

_SETTLES = AttemptFailed | CallFailed | CallSucceeded


class Journal:
    """One run, as its stored records tell it."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.records: list[Record] = []
        self.state = RunState()
        self.hash = b""
        self.succeeded: set[str] = set()
        self.settled: Counter[str] = Counter()
        self.executed: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()


class Witness:
    """Sees every record that is stored and every effect, and notes what cannot be.

    Attributes:
        found: a sentence for each thing that cannot be.
        claimed: the latest epoch of each run.
        effects: how often each effect was had, by run, path and label.
        charges: the keys under which each charge was made, by run and label.
        driving: gives the live driver of a run that holds its lease, if there is one.
    """

    def __init__(self, processes: Processes, store: MemoryStore, reached: Counter[Situation]) -> None:
        """Look at a world's store."""
        self.found: list[str] = []
        self.claimed: dict[str, int] = {}
        self.effects: Counter[tuple[str, str, str]] = Counter()
        self.charges: dict[tuple[str, str], set[str]] = {}
        self.driving: Callable[[str], Driver | None] = lambda _run: None
        self._processes = processes
        self._store = store
        self._reached = reached
        self._journals: dict[str, Journal] = {}
        self._handed_on: set[tuple[str, str]] = set()
        self._ends: Counter[str] = Counter()

    def broken(self, rule: str, found: str = "") -> None:
        """Note that a rule was broken."""
        when = f"at {self._processes.clock.now:.3f} s, in {self._processes.running.name}"
        self.found.append(f"{rule}{': ' + found if found else ''} ({when})")

    def journal(self, run: str) -> Journal:
        """Give what is stored of a run."""
        return self._journals.setdefault(run, Journal())

    # -- records -------------------------------------------------------------------------------------------------------

    def appended(self, run: str, stored: StoredRecord) -> None:
        """Look at a record that was just stored."""
        journal = self.journal(run)
        try:
            record = unseal(run, stored, seq=len(journal.records) + 1, previous=journal.hash)
        except Exception as problem:  # noqa: BLE001 - whatever is wrong with it is what we are here for
            self.broken("records form a chain", str(problem))
            return
        if record.epoch != self.claimed.get(run, 0):
            self.broken("only the holder of the lease appends", f"epoch {record.epoch} is not {self.claimed.get(run)}")
        if record.epoch != journal.state.epoch and not isinstance(record.event, DriverOpened) and journal.records:
            self.broken("a new epoch begins with its driver", type(record.event).__name__)
        journal.hash = stored.hash
        self._look_at(journal, record)
        journal.records.append(record)
        journal.state.apply(record)
        for violation in check_run(journal.records):
            self.broken(violation.rule, violation.text)
        driver = self.driving(run)
        if driver is not None and driver.log.epoch == record.epoch and driver.log.state.seq == record.seq:
            _compare(self, driver.log.state, journal.state)

    def _look_at(self, journal: Journal, record: Record) -> None:
        event = record.event
        if isinstance(event, _SETTLES):
            path = event.call.path
            journal.settled[path] += 1
            if isinstance(event, CallSucceeded):
                journal.succeeded.add(path)
                if event.call.kind == "sleep":
                    self._look_at_sleep(journal, record, path)
        elif isinstance(event, Spent):
            self._look_at_price(journal, event.path)
        elif isinstance(event, WorkerEnded):
            self._ends[event.path] += 1
        self._note_situation(journal, event)

    def _note_situation(self, journal: Journal, event: Event) -> None:
        match event:
            case AttemptFailed(remedy=Grow()):
                self._reached["a retry with more memory"] += 1
            case AttemptFailed(remedy=Resume()):
                self._reached["a retry after preemption"] += 1
            case WorkerGrown():
                self._reached["a limit grown in place"] += 1
            case Diverged():
                self._reached["a divergence seen"] += 1
            case OutcomeDecided():
                by_code = event.reason == "reconcile"
                self._reached["an outcome reconciled" if by_code else "an outcome decided by a person"] += 1
            case RunRetried():
                if journal.state.ended is not None and journal.state.ended.outcome == "cancelled":
                    self._reached["a run cancelled and retried"] += 1
            case _:
                pass

    def _look_at_price(self, journal: Journal, path: str) -> None:
        journal.paid[path] += 1
        if 0 < journal.executed[path] < journal.paid[path]:
            self.broken("an execution is paid for once", path)

    def _look_at_sleep(self, journal: Journal, record: Record, path: str) -> None:
        known = journal.state.calls.get(path)
        begun = known.begun if known is not None else None
        if begun is None or begun.due is None:
            self.broken("a sleep ends after it has begun", path)
            return
        # A wall clock that was set back does not make a sleep longer: then it ends before its moment has come.
        if record.time < begun.due and not self._processes.clock.was_set_back:
            self.broken("no sleep ends early", f"{path} by {begun.due - record.time:.3f} s")
        started = next(
            one for one in journal.records if isinstance(one.event, CallStarted) and one.event.call.path == path
        )
        if started.epoch != record.epoch:
            self._reached["a sleep resumed after a crash"] += 1

    # -- effects -------------------------------------------------------------------------------------------------------

    def effect(self, label: str) -> bool:
        """Note an effect of the running call on the outside; False if its process is dead, and it has none."""
        process, scope = self._processes.running, scope_here()
        if not process.alive or scope is None:
            return False
        run, path = scope.driver.run, scope.path
        journal = self.journal(run)
        epoch = process.epoch or scope.driver.log.epoch
        self.effects[run, path, label] += 1
        journal.executed[path] += 1
        count = self.effects[run, path, label]
        if epoch == self.claimed.get(run):  # whoever has lost the lease does not know yet what was done since
            if path in journal.succeeded:
                self.broken("a recorded call is never executed again", path)
            if (run, label) in self._handed_on:
                self.broken("what the code was given is never executed again", f"{label} at {path}")
        lives = self.claimed.get(run, 1) + sum(
            times for inner, times in self._ends.items() if path.startswith(inner + "/") or path == inner
        )
        if count > journal.settled[path] + lives + 1:
            self.broken("a body runs once for each attempt and each life", f"{path} ran {count} times")
        if scope.options.once and count > 1:
            self.broken("a once-only call is executed once", path)
        return True

    def handed_on(self, run: str, label: str) -> None:
        """Note that the code goes on with the result of an effect: it must be durable by now."""
        if self._processes.running.alive:
            self._handed_on.add((run, label))

    def charge(self, key: str, label: str) -> None:
        """Have an outside service do something once for a key, however often it is asked."""
        scope = scope_here()
        if self.effect(label) and scope is not None:
            self.charges.setdefault((scope.driver.run, label), set()).add(key)


def _compare(witness: Witness, live: RunState, stored: RunState) -> None:
    if live.costs != stored.costs:
        witness.broken("a driver knows what its run has cost", f"{live.costs} instead of {stored.costs}")
    if live.calls != stored.calls or live.ended != stored.ended or live.spent != stored.spent:
        paths = live.calls.keys() | stored.calls.keys()
        differing = [path for path in paths if live.calls.get(path) != stored.calls.get(path)]
        witness.broken(
            "a driver knows what its records add up to",
            ", ".join(_difference(path, live, stored) for path in sorted(differing)),
        )


def _difference(path: str, live: RunState, stored: RunState) -> str:
    one, other = live.calls.get(path), stored.calls.get(path)
    if one is None or other is None:
        return f"{path} is only known to the {'records' if one is None else 'driver'}"
    fields = [field for field in one.__struct_fields__ if getattr(one, field) != getattr(other, field)]
    return f"{path} differs in " + ", ".join(
        f"{field} ({getattr(one, field)}, {getattr(other, field)})" for field in fields
    )
