"""This process, as a driver of one store's runs: its name, its heartbeat, its committer, and the runs it holds.

One heartbeat serves all runs of the process. It has a thread of its own, so that user code that blocks the event loop
for minutes does not lose its lease for being slow; a process that is stopped as a whole does.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import threading
import time
from collections.abc import Callable

from regrow._version import __version__
from regrow.engine.committer import Committer
from regrow.engine.desk import Desk, StoreDesk
from regrow.engine.driver import Driver
from regrow.engine.executor import Executor
from regrow.engine.healer import Healer
from regrow.engine.heed import heed
from regrow.engine.log import RunLog
from regrow.engine.news import Observer
from regrow.engine.run_logging import run_logging
from regrow.engine.vault import Vault
from regrow.errors import LeaseLost, RunHeld, RunOver, RunPaused, RunStopped, StoreError
from regrow.journal.cache import SharedCache
from regrow.journal.memories import Memories
from regrow.journal.orders import GRACE_SECONDS, Order, in_force
from regrow.journal.records import DriverClosed, DriverOpened, RunCreated, RunRetried
from regrow.journal.signals import Signals
from regrow.journal.store import LEASE_SECONDS, LogLine, SizeSeen, Store

_log = logging.getLogger("regrow")

_BEAT_SECONDS = 1.0
"""Between two heartbeats. Leases last many times longer."""
_LOOK_SECONDS = 0.25
"""Between two looks at what is ordered from outside: a stop holds within 2 seconds, of which a look may take most."""


class Host:
    """What all runs that this process drives in one store have in common.

    Attributes:
        store: where the runs are.
        vault: where their values go.
        committer: through which their records go.
        executor: where their bodies run. May be exchanged; runs that are under way keep the one they have.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        healer: Healer,
        clock: Callable[[], float] = time.time,
        *,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """Be ready to drive runs of `store`; nothing is registered or started before the first."""
        self.store = store
        self._beat_seconds = min(_BEAT_SECONDS, lease_seconds / 3)
        self._look_seconds = min(_LOOK_SECONDS, self._beat_seconds)
        # By run and epoch: what was ordered of one driver is not for the next one of that run in this process.
        self._known_since: dict[tuple[str, int, str], float] = {}
        self._pausing: dict[tuple[str, int], Order] = {}
        self.vault = Vault(store.blobs)
        self.committer = Committer(store)
        self.executor = executor
        self._healer = healer
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._lock = threading.Lock()
        self._holder: str | None = None
        self._drivers: dict[str, Driver] = {}
        self._logs: dict[str, list[LogLine]] = {}
        self._unreleased: dict[str, int] = {}
        self._stop_beating = threading.Event()

    def take_up(
        self,
        run: str,
        *,
        created: RunCreated | None = None,
        created_blobs: tuple[str, ...] = (),
        retry_as: str | None = None,
        even_if_over: bool = False,
        even_if_paused: bool = False,
        strict: bool = False,
        observers: tuple[Observer, ...] = (),
    ) -> Driver:
        """Take a run's lease, read its journal, and be ready to go on with it.

        Args:
            run: which one.
            created: how the run came to be, for one that has no record yet.
            created_blobs: the blobs that its inputs need.
            retry_as: who wants a run that has failed or was cancelled to be tried again.
            even_if_over: take it up though it has ended, or is paused or stopped: not to go on with it, but to add what
                somebody says of it.
            even_if_paused: take it up though it is paused, which it then is no longer.
            strict: raise where code and journal part.
            observers: are told of everything that the driver appends and replays.

        Raises:
            RunHeld: another live process drives it.
            RunOver: it has ended, perhaps just now in another process.
            RunPaused: somebody has paused it.
            RunStopped: somebody has stopped everything.
            Corrupted: its journal is not what was written.
        """
        holder = self._awake()
        epoch = self._claim(run, holder)
        try:
            log = RunLog(run, self.store.read(run), epoch, self._clock)
            if not even_if_over:  # nobody lifts the pause of a run whose journal cannot be read
                self._refuse_if_ordered(run, even_if_paused=even_if_paused)
            ended = log.state.ended
            if ended is not None and not even_if_over and (retry_as is None or ended.outcome == "succeeded"):
                raise RunOver(run, f"run {run} has {ended.outcome} already")
            driver = Driver(
                log,
                self.committer,
                self.vault,
                self.executor,
                self._healer,
                self,
                strict=strict,
                clock=self._clock,
                observers=observers,
            )
            if created is not None and log.state.created is None:
                driver.hand_in(created, created_blobs)
            driver.hand_in(DriverOpened(holder, __version__, platform.python_version()))
            if retry_as is not None and log.state.ended is not None:
                driver.hand_in(RunRetried(log.state.ended.again), actor=retry_as)
            self.committer.flush()
        except BaseException:
            self.store.release(run, epoch)
            self._rest_if_idle()
            raise
        with self._lock:
            self._drivers[run] = driver
            self.committer.busy += 1
        return driver

    def _claim(self, run: str, holder: str) -> int:
        """Take a run's lease, and give its epoch.

        Raises:
            RunHeld: another live process has it, or this one.
        """
        try:
            return self.store.claim(run, holder, seconds=self._lease_seconds)
        except RunHeld as held:
            if held.holder == holder:
                raise RunHeld(run, "this very process") from None
            raise

    def let_go(self, driver: Driver) -> None:
        """Give a run's lease back, once its driver has nothing more to write."""
        with self._lock:
            if self._drivers.pop(driver.run, None) is not None:
                self.committer.busy -= 1
        try:
            self.committer.flush()
            self._flush_logs()
            if driver.tally.cached:
                with contextlib.suppress(StoreError):  # how often something was found is worth no failure
                    self.cache.settle()
            if not driver.log.ended_here or driver.halted is not None:
                # Otherwise the record of the end has gone in, and has ended the lease as well.
                self.store.release(driver.run, driver.log.epoch)
        except StoreError:
            with self._lock:
                self._unreleased[driver.run] = driver.log.epoch
            if driver.halted is None:
                raise
        finally:
            self.committer.forget(driver.run, driver.log.epoch)
            self._rest_if_idle()

    def refuse_if_stopped(self, project: str, run: str = "") -> None:
        """Let nothing of a project begin that was stopped.

        Raises:
            RunStopped: it was, or the whole store.
        """
        if (stop := in_force(self.store.stops(), project)) is not None:
            raise RunStopped(run, stop.actor, stop.time, stop.reason, stop.project)

    def _refuse_if_ordered(self, run: str, *, even_if_paused: bool) -> None:
        """Look at the orders once the lease is ours: what is ordered later, a heartbeat will find."""
        row = self.store.get(run)
        self.refuse_if_stopped(row.project, run)
        if row.paused_by is None:
            return
        if not even_if_paused:
            raise RunPaused(run, row.paused_by, row.paused_at or 0.0)
        self.store.lift_pause(run)

    def cancel(self, driver: Driver, actor: str, grace: float = GRACE_SECONDS) -> None:
        """Cancel a run that this process drives, and by force if it has not ended after so many seconds."""
        self.store.request_cancel(driver.run, actor, grace=grace)
        driver.cancel(actor, grace)

    def end_by_force(self, driver: Driver, actor: str) -> None:
        """End a run as cancelled whose code does not end; what that does from now on is no part of the run."""
        if driver.end_by_force(actor):
            with contextlib.suppress(StoreError):  # then the lease goes when its time is over
                self.let_go(driver)
            driver.leave()
            driver.strike()

    def close(self) -> None:
        """Stop the heartbeat and withdraw from the store, which stays open."""
        with self._lock:
            self._unreleased.clear()
            self._drivers.clear()
        self._rest_if_idle()

    @property
    def asks(self) -> Desk:
        """See `Surroundings.asks`."""
        return StoreDesk(self.store)

    @property
    def signals(self) -> Signals:
        """See `Surroundings.signals`."""
        return self.store.signals

    def note_log(self, run: str, line: LogLine) -> None:
        """Keep a log line until the next heartbeat writes it."""
        with self._lock:
            self._logs.setdefault(run, []).append(line)

    def sizes(self, task: str, input_class: int, project: str) -> list[SizeSeen]:
        """See `Surroundings.sizes`."""
        return self.store.sizes(task, input_class, project)

    def remember_size(self, seen: SizeSeen, project: str) -> None:
        """See `Surroundings.remember_size`."""
        self.store.remember_size(seen, project)

    def release_blobs(self, run: str, digests: tuple[str, ...]) -> None:
        """See `Surroundings.release_blobs`."""
        self.store.release_blobs(run, digests)

    @property
    def cache(self) -> SharedCache:
        """See `Surroundings.cache`."""
        return self.store.cache

    @property
    def memories(self) -> Memories:
        """See `Surroundings.memories`."""
        return self.store.memories

    def _awake(self) -> str:
        """Register with the store and start the heartbeat, unless that is done; give the holder's name."""
        with self._lock:
            if self._holder is None:
                holder = self.store.register()
                stop = threading.Event()
                threading.Thread(target=self._beat, args=(holder, stop), name="regrow-heartbeat", daemon=True).start()
                run_logging.begin()
                self._stop_beating, self._holder = stop, holder
            return self._holder

    def _rest_if_idle(self) -> None:
        """Withdraw from the store when no run is left, so that nothing is left running behind a finished one."""
        with self._lock:
            if self._holder is not None and not self._drivers and not self._unreleased:
                self._stop_beating.set()
                holder, self._holder = self._holder, None
                run_logging.end()
                self.committer.rest()
                with contextlib.suppress(StoreError):
                    self.store.unregister(holder)

    def _beat(self, holder: str, stop: threading.Event) -> None:
        waited = 0.0
        while not stop.wait(self._look_seconds):
            with self._lock:
                drivers, unreleased = dict(self._drivers), dict(self._unreleased)
            # Before anything is written: whoever waits for the database must not keep an order waiting.
            with contextlib.suppress(StoreError):
                self._heed_orders(holder, drivers)
            waited += self._look_seconds
            if waited < self._beat_seconds:
                continue
            waited = 0.0
            try:
                for run, epoch in unreleased.items():
                    self.store.release(run, epoch)
                    with self._lock:
                        self._unreleased.pop(run, None)
                for driver in drivers.values():
                    if driver.is_abandoned():
                        self._give_up(driver)
                self._rest_if_idle()
                held = self.store.renew(holder, seconds=self._lease_seconds)
                self.committer.flush()  # what nobody waits for shows soon all the same: which tasks are running, say
                self._flush_logs()
            except StoreError:
                continue  # a lease outlives many beats; if this lasts, appending fails too, and says so
            for run, driver in drivers.items():
                if run not in held and run in self._drivers and driver.log.state.ended is None:
                    driver.halt(LeaseLost(run, f"the lease on run {run} was lost to another driver"))

    def _heed_orders(self, holder: str, drivers: dict[str, Driver]) -> None:
        if not drivers:
            return
        stops, orders = self.store.stops(), self.store.orders(holder)
        for run, driver in drivers.items():
            stop = in_force(stops, driver.project)
            if stop is not None and not driver.closing:
                driver.let_go(RunStopped(run, stop.actor, stop.time, stop.reason, stop.project))
                driver.strike()
            # To hold a run back cannot be undone: it is let go of, even if the pause has been lifted meanwhile.
            if (order := orders.get(run) or self._pausing.get((run, driver.log.epoch))) is not None:
                self._heed(driver, order)
        leases = {(run, driver.log.epoch) for run, driver in drivers.items()}
        self._known_since = {known: since for known, since in self._known_since.items() if known[:2] in leases}
        self._pausing = {lease: order for lease, order in self._pausing.items() if lease in leases}

    def _heed(self, driver: Driver, order: Order) -> None:
        now = time.monotonic()
        since = now - self._known_since.setdefault((driver.run, driver.log.epoch, order.what), now)
        at_rest = driver.holding.on and driver.holding.is_at_rest  # what had begun just before has been counted by now
        match heed(order, since=since, at_rest=at_rest):
            case "cancel":
                driver.cancel(order.actor, order.grace)
            case "end by force":
                self.end_by_force(driver, order.actor)
            case "hold" if not driver.holding.on:
                driver.pausing = self._paused(driver, order)
                driver.holding.begin()
                self._pausing[driver.run, driver.log.epoch] = order
                _log.warning(
                    "run %s is being paused by %s: no new call begins, those under way have %g s to finish",
                    driver.run, order.actor, order.grace,
                )  # fmt: skip
            case "let go" if not driver.closing:
                driver.holding.begin()
                driver.let_go(driver.pausing or self._paused(driver, order))
                driver.strike()
            case "nothing" | "hold" | "let go":
                pass

    def _paused(self, driver: Driver, order: Order) -> RunPaused:
        paused_at = self.store.get(driver.run).paused_at
        return RunPaused(driver.run, order.actor, self._clock() if paused_at is None else paused_at)

    def _give_up(self, driver: Driver) -> None:
        """Let go of a run whose event loop was closed under it: nobody can ever go on with its code here."""
        driver.let_go()
        driver.hand_in(DriverClosed("its event loop was closed"))
        self.let_go(driver)

    def _flush_logs(self) -> None:
        with self._lock:
            logs, self._logs = self._logs, {}
        for run, lines in logs.items():
            self.store.write_logs(run, lines)
