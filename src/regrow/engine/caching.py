"""What the shared cache has to do with a call's life: it is asked before the body runs, and told what came of that.

The journal comes first: a call that has an outcome in its run is replayed, and the cache is not asked. One that would
be executed is looked up under a key of everything that its outcome depends on. If another call, of whatever run or
process, is computing that, this one waits for it. Nothing that goes wrong here fails a run: the call is executed then.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from regrow.codec import ErrorRecord, digest_inputs
from regrow.engine.branches import loop_is_running
from regrow.engine.callee import Callee, Invocation
from regrow.engine.driver import Driver
from regrow.engine.state import CallState
from regrow.engine.todo import Pause
from regrow.engine.vault import Kept
from regrow.errors import Failure, NotStorable, RegrowError
from regrow.journal.cache import Artifact, Circular, Finding, Found, Granted, InFlight
from regrow.journal.records import BlobRef, CacheHit, Call
from regrow.values.cache import Cache

T = TypeVar("T")

_UNUSABLE = "the cache cannot be used, and calls are executed"
_FIRST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.1
"""Between two looks whether a flight has landed: a look is one read of the database."""

_PATIENCE_SECONDS = 3600.0
"""After so long the call is executed here as well. Calls that wait for each other through the cache are found out at
once; those that do so through something else, such as a queue of the code's own, only by this."""

_SHARED_LAYERS = frozenset({"logical", "semantic"})
"""Failures of the code. What a machine or a network did says nothing of the next attempt."""


class Hit(msgspec.Struct, frozen=True):
    """The outcome of an equal call.

    Attributes:
        artifact: as the cache has it.
        result: the result, decoded; None if it is a failure.
    """

    artifact: Artifact
    result: Any = None


class Errand:
    """A call on its way to compute what the cache does not have, and others may wait for."""

    def __init__(  # noqa: PLR0917 - what it will have to say
        self, driver: Driver, invocation: Invocation, call: Call, cache: Cache, key: str, code: bytes
    ) -> None:
        """Begin without a right to make others wait."""
        self.flight = 0
        self._driver = driver
        self._callee = invocation.callee
        self._call = call
        self._cache = cache
        self._key = key
        self._code = code

    def leave(self, kept: Kept, seconds: float) -> None:
        """Leave a result to others that took so long."""
        self._put(Artifact(self._key, self._callee.ref, self._origin(seconds), value=kept.value, blobs=kept.blobs))

    def leave_failure(self, error: ErrorRecord, seconds: float) -> None:
        """Leave a failure to others, if its author wants that and it is one of the code."""
        if self._cache.failures and _is_of_the_code(error):
            self._put(Artifact(self._key, self._callee.ref, self._origin(seconds), error=error))

    def end(self) -> None:
        """Let others take its place, if it has left them nothing."""
        if self.flight:
            _harmless(self._driver, lambda: self._driver.around.cache.land(self.flight))

    def _origin(self, seconds: float) -> CacheHit:
        cost = self._driver.log.state.costs[self._call.path]
        return CacheHit(self._driver.run, self._call.path, self._driver.now(), max(0.0, seconds), cost)

    def _put(self, artifact: Artifact) -> None:
        driver, name, bound = self._driver, self._callee.name, self._cache.scope == "run"

        def put() -> None:
            if _code_of(self._callee, self._cache) != self._code:
                driver.warn_once(
                    f"changing {name}",
                    f"what {name} depends on has changed while it ran, such as a global that it counts or collects in; "
                    f"so its outcome is not shared. If that makes no difference, name it in Cache(ignore=…)",
                )
                return
            driver.around.cache.put(artifact, self.flight, run=driver.run, project=driver.project, bound=bound)
            self.flight = 0

        _harmless(driver, put)


def share(errand: Errand | None, kept: Kept, seconds: float) -> None:
    """Leave a result to others, if it is one to be shared.

    That is before it is recorded: if the process dies in between, the call finds its own result.

    Args:
        errand: of the call that gave it; None for one that shares nothing.
        kept: the result.
        seconds: how long it took.
    """
    if errand is not None:
        errand.leave(kept, seconds)


def ask(
    driver: Driver, invocation: Invocation, call: Call, known: CallState | None, cache: Cache, *, in_loop: bool
) -> Generator[Pause, None, Hit | Errand | None]:
    """Look for the outcome of an equal call, and wait for one that is being computed.

    Args:
        driver: of the run that makes the call.
        invocation: the call, as it was made.
        call: the same, by its identity.
        known: what the journal says of it.
        cache: what its author says of sharing it.
        in_loop: whether it is carried out on an event loop, and not in a thread of its own.

    Returns:
        The outcome; or an errand, if the call is to be executed; or None if it cannot be shared at all.
    """
    callee = invocation.callee
    found = _harmless(driver, lambda: _key(driver, invocation, cache), f"{callee.name} is executed without the cache")
    if found is None:
        return None
    key, code = found
    errand = Errand(driver, invocation, call, cache, key, code)
    # On the thread of a loop a plain wait would stop the very loop on which the other call may be under way.
    patience = _PATIENCE_SECONDS if in_loop or not loop_is_running() else 0.0
    failures = cache.failures and not (known is not None and known.attempts)  # whoever retries wants another outcome
    waited, pause = 0.0, _FIRST_PAUSE_SECONDS
    unreadable = False

    def look() -> Finding:
        now, age = driver.now(), cache.max_seconds
        return driver.around.cache.look_up(key, run=driver.run, path=call.path, now=now, max_age=age, failures=failures)

    while True:
        match _harmless(driver, look):
            case Found(artifact):
                hit = _harmless(driver, partial(_unpacked, driver, artifact), _unreadable(artifact))
                if hit is not None or unreadable:
                    return hit or errand
                unreadable = True
                _harmless(driver, lambda: driver.around.cache.discard((key,), now=driver.now()))
            case Granted(flight, damaged):
                errand.flight = flight
                if damaged:
                    driver.warn_once(f"damaged {key}", f"an artifact of {call.path} was damaged; it is computed again")
                return errand
            case InFlight():
                if waited >= patience:
                    return errand
                yield Pause(pause)
                driver.check()
                waited, pause = waited + pause, min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
            case Circular() | None:
                return errand


def key_of(driver: Driver, invocation: Invocation, cache: Cache, code: bytes) -> str:
    """Give the key of a call: of which function, with which inputs, by which code, shared among which runs.

    Args:
        driver: of the run that makes it.
        invocation: the call.
        cache: what its author says of it.
        code: digest of all code that the outcome depends on.

    Raises:
        NotStorable: an input has no durable form, and is not to be ignored.
    """
    callee = invocation.callee
    if cache.key is not None:
        inputs: Mapping[str, Any] = {"key": cache.key(*invocation.args, **invocation.kwargs)}
    else:
        given = callee.inputs(invocation.args, invocation.kwargs)
        inputs = {name: value for name, value in given.items() if name not in cache.ignore}
    digest = digest_inputs(inputs, allow_opaque=False, where=callee.name).digest
    sharers = {"project": driver.project, "run": driver.run, "global": ""}[cache.scope]
    facts = (callee.ref, str(cache.version), cache.scope, sharers, digest, code)
    return blake2b(msgspec.msgpack.encode(facts), digest_size=20).hexdigest()


def _is_of_the_code(error: ErrorRecord) -> bool:
    """Tell whether an equal call would fail likewise. What regrow itself raised (denied, timed out) is this call's."""
    return error.layer in _SHARED_LAYERS and not error.type.startswith("regrow:")


def _key(driver: Driver, invocation: Invocation, cache: Cache) -> tuple[str, bytes]:
    code = _code_of(invocation.callee, cache)
    return key_of(driver, invocation, cache, code), code


def _code_of(callee: Callee, cache: Cache) -> bytes:
    names = [name for name in cache.ignore if name not in callee.signature.parameters]
    return callee.fingerprint(names) if callee.fingerprint is not None else b""


def _unpacked(driver: Driver, artifact: Artifact) -> Hit:
    """Give an artifact's result to the code, if all of it is there that the run is about to refer to."""
    if artifact.value is None:
        return Hit(artifact)
    whole = artifact.value.digest if isinstance(artifact.value, BlobRef) else ""
    for digest in artifact.blobs:
        if digest != whole:  # that one is checked when it is read
            driver.vault.blobs.path_of(digest)
    return Hit(artifact, driver.vault.load(artifact.value))


def _unreadable(artifact: Artifact) -> str:
    origin = artifact.origin
    return f"what {origin.path} of run {origin.run} left in the cache cannot be read, and is computed again"


def _harmless(driver: Driver, function: Callable[[], T], said: str = _UNUSABLE) -> T | None:
    """Do something with the cache; if that fails, warn of it once and give None.

    Args:
        driver: of the run in whose log the warning is.
        function: what is to be done.
        said: what follows from its failing.
    """
    try:
        return function()
    except Failure:
        raise  # an interruption of a worker, which struck here by chance
    except Exception as problem:  # noqa: BLE001 - no trouble of the cache's may become one of the run's
        driver.warn_once(said, f"{said}: {_why(problem)}")
        return None


def _why(problem: Exception) -> str:
    if isinstance(problem, NotStorable):
        return f"{problem} (or leave that input out with Cache(ignore=…), or name what counts with Cache(key=…))"
    return str(problem) if isinstance(problem, RegrowError) else f"{type(problem).__name__}: {problem}"
