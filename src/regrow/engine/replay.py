"""Matching the calls that the code makes with the calls that the journal knows.

A call is the recorded one if it stands at the same path and has the same inputs. Where it does not, somebody has edited
the code (or its inputs depend on something that was not recorded): then a recorded call of the same branch, with the
same name and the same inputs, that nothing has claimed yet, is taken for it, so that calls can be added, removed and
moved. If there is none, code and journal have parted, and that is said before anything is done.
"""

from __future__ import annotations

import msgspec

from regrow.engine.branches import Branch
from regrow.engine.callee import Invocation
from regrow.engine.state import CallState, RunState
from regrow.journal.records import CallCancelled, CallFailed

ASIDE = "/~approve/"
"""The strand of a call on which regrow itself asks people about it. The body neither makes these calls nor misses them:
a worker, for one, runs the body of a call that was approved in its caller's process."""


class Match(msgspec.Struct, frozen=True):
    """What the journal has for a call that the code makes.

    Attributes:
        path: under which the call is, or will be, recorded.
        known: what is recorded of it; None if it is new.
        parted: in words, how code and journal have parted here; None if they have not.
        skipped: a call that the journal has before this one and the code has not made. It may yet be made, having been
            moved; in strict mode that is not waited for.
    """

    path: str
    known: CallState | None = None
    parted: str | None = None
    skipped: str | None = None


class Replay:
    """How far the code has come in what was recorded before it began to run now."""

    def __init__(self, state: RunState) -> None:
        """Match against the calls in `state`."""
        self._state = state
        self._grounds: dict[str, _Ground] = {}

    def claim_until(self, scope: str, seq: int) -> None:
        """Count everything as made that a scope's code had recorded before a place: it went on from a checkpoint."""
        ground = self._grounds.get(scope)
        if ground is None:
            ground = self._grounds[scope] = _Ground(self._state.children(scope))
        for path, known in ground.recorded.items():
            if known.seq <= seq:
                ground.claim(path)

    def match(self, invocation: Invocation, digest: bytes) -> Match:
        """Find what is recorded of a call, and claim it.

        Args:
            invocation: the call as the code makes it now.
            digest: of its inputs.
        """
        scope, path = invocation.branch.scope.path, invocation.path
        ground = self._grounds.get(scope)
        if ground is None:
            # Whatever the scope holds when its code makes its first call was recorded by an earlier life or attempt.
            ground = self._grounds[scope] = _Ground(self._state.children(scope))
        if not ground.recorded:
            return Match(path)
        known = ground.recorded.get(path)
        if known is not None and known.call.digest == digest and ground.claim(path):
            skipped = None
            if known.call.position > invocation.position:
                skipped = ground.skipped(invocation.branch, known.call.position)
            return Match(path, known, skipped=skipped)
        moved = ground.unclaimed_with(path, digest)
        if moved is not None:
            ground.claim(moved.call.path)
            return Match(moved.call.path, moved)
        free, edition = path, 1
        while free in self._state.calls or not ground.claim(free):
            edition += 1
            free = f"{path}!{edition}"
        if known is not None:
            reason = "it was recorded with other inputs, and no unclaimed call of this branch has these"
            return Match(free, parted=reason)
        other = ground.unclaimed_at(path, invocation.position)
        return Match(free, parted=None if other is None else f"the journal has {other} in its place")

    def forget(self, scope: str) -> None:
        """Let a new attempt at a call match anew everything that earlier ones had recorded inside of it."""
        inside = scope + "/"
        for known in [known for known in self._grounds if known == scope or known.startswith(inside)]:
            del self._grounds[known]

    def gone_past(self) -> list[str]:
        """Give the recorded calls before which a strand's code has made others that were recorded after them."""
        return [path for ground in self._grounds.values() for path in ground.gone_past()]

    def passed_over(self, scope: str) -> list[str]:
        """Give the recorded calls of a scope that its code, having run to its end, has not made any more.

        Those recorded after a failure that was taken back are left out: without it the code may well have gone
        elsewhere.
        """
        ground = self._grounds.pop(scope, None)
        if ground is None:  # it has made no call at all
            recorded = self._state.children(scope)
            if not recorded:
                return []
            ground = _Ground(recorded)
        return ground.passed_over(self._state.detour)


class _Ground:
    """What was recorded inside one scope before its code began to run now, and which of it the code has claimed."""

    __slots__ = ("_by_inputs", "_by_position", "_claimed", "recorded")

    def __init__(self, recorded: list[CallState]) -> None:
        self.recorded = {known.call.path: known for known in recorded}
        self._claimed: set[str] = set()
        self._by_inputs: dict[tuple[str, str, bytes], list[CallState]] | None = None
        self._by_position: dict[tuple[str, int], str] | None = None

    def claim(self, path: str) -> bool:
        """Claim a path, unless it is taken already."""
        if path in self._claimed:
            return False
        self._claimed.add(path)
        return True

    def unclaimed_with(self, path: str, digest: bytes) -> CallState | None:
        """Give the first unclaimed call of a path's branch that has its name and these inputs."""
        if self._by_inputs is None:  # only edited code comes here
            self._by_inputs = {}
            for known in self.recorded.values():
                key = (*_branch_and_name(known.call.path), known.call.digest)
                self._by_inputs.setdefault(key, []).append(known)
        candidates = self._by_inputs.get((*_branch_and_name(path), digest), ())
        return next((known for known in candidates if known.call.path not in self._claimed), None)

    def unclaimed_at(self, path: str, position: int) -> str | None:
        """Give the unclaimed call that was recorded at this position of a path's branch, whatever its name."""
        if self._raced():
            return None
        if self._by_position is None:
            self._by_position = {
                (_branch_and_name(known.call.path)[0], known.call.position): known.call.path
                for known in self.recorded.values()
            }
        other = self._by_position.get((_branch_and_name(path)[0], position))
        return None if other in self._claimed else other

    def skipped(self, branch: Branch, position: int) -> str | None:
        """Give an unclaimed call of a branch that stands before a position and has not been made so far."""
        if self._raced():
            return None
        for path, known in self.recorded.items():
            if known.call.position < position and path not in self._claimed and path.startswith(branch.prefix):
                name, _, ordinal = path[len(branch.prefix) :].partition("#")
                if "/" not in ordinal and ordinal.isdecimal() and int(ordinal) > branch.made(name):
                    return path
        return None

    def gone_past(self) -> list[str]:
        """Give the unclaimed calls that stand before a claimed one of their branch."""
        if self._raced():
            return []
        reached: dict[str, int] = {}
        for path in self._claimed & self.recorded.keys():
            branch, position = _branch_and_name(path)[0], self.recorded[path].call.position
            reached[branch] = max(position, reached.get(branch, 0))
        return [
            path
            for path, known in self.recorded.items()
            if path not in self._claimed and known.call.position < reached.get(_branch_and_name(path)[0], 0)
        ]

    def _raced(self) -> bool:
        """Tell whether a call of this scope failed or was given up on.

        How many others are made beside such a call before the code sees it differs from run to run, in code that nobody
        has edited: what is missing then proves nothing.
        """
        return any(isinstance(known.outcome, CallFailed | CallCancelled) for known in self.recorded.values())

    def passed_over(self, detour: int | None) -> list[str]:
        if self._raced():
            return []
        return [
            path
            for path, known in self.recorded.items()
            if path not in self._claimed and ASIDE not in path and (detour is None or known.seq <= detour)
        ]


def _branch_and_name(path: str) -> tuple[str, str]:
    """Split a path into its branch and the name of the call, without its ordinal."""
    branch, _, last = path.rpartition("/")
    return branch, last.partition("#")[0]
