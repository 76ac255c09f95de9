"""Matching the calls that the code makes with the calls that the journal knows.

A call is the recorded one if it stands at the same path and has the same inputs. Where it does not, somebody has edited
the code (or its inputs depend on something that was not recorded): then a recorded call of the same branch, with the
same name and the same inputs, that nothing has claimed yet, is taken for it, so that calls can be added, removed and
moved. If there is none, code and journal have parted, and that is said before anything is done.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from regrow.engine.state import CallState, RunState
from regrow.journal.records import CallCancelled


class Match(msgspec.Struct, frozen=True):
    """What the journal has for a call that the code makes.

    Attributes:
        path: under which the call is, or will be, recorded.
        known: what is recorded of it; None if it is new.
        parted: in words, how code and journal have parted here; None if they have not.
    """

    path: str
    known: CallState | None = None
    parted: str | None = None


class Replay:
    """The part of a run's journal that was there when its driver began, and how far the code has come in it."""

    def __init__(self, state: RunState) -> None:
        """Set out from what is known when the run is taken up."""
        self._state = state
        self._upto = state.seq
        self._claimed: set[str] = set()
        self._by_inputs: dict[tuple[str, str, bytes], list[str]] | None = None
        self._by_position: dict[tuple[str, int], str] | None = None

    def match(self, path: str, position: int, digest: bytes) -> Match:
        """Find what is recorded of a call, and claim it.

        Args:
            path: where the call stands in the code as it runs now.
            position: the how-manieth call of its branch it is.
            digest: of its inputs; empty where inputs do not matter.
        """
        known = self._state.calls.get(path)
        if known is None and not self._upto:
            self._claimed.add(path)
            return Match(path)
        if known is not None and path not in self._claimed and known.call.digest == digest:
            self._claimed.add(path)
            return Match(path, known)
        moved = self._unclaimed(path, digest)
        if moved is not None:
            self._claimed.add(moved)
            return Match(moved, self._state.calls[moved])
        free = path
        edition = 1
        while free in self._state.calls or free in self._claimed:
            edition += 1
            free = f"{path}!{edition}"
        self._claimed.add(free)
        if known is not None and known.seq <= self._upto:
            return Match(free, parted="it was recorded with other inputs, and no unclaimed call of this branch has these")
        other = self._recorded_at(path, position)
        if other is not None:
            return Match(free, parted=f"the journal has {other} in its place")
        return Match(free)

    def forget(self, scope: str) -> None:
        """Let a new attempt claim again what the last one of the same call had claimed."""
        prefix = scope + "/"
        self._claimed = {path for path in self._claimed if not path.startswith(prefix)}
        self._upto = self._state.seq
        self._by_inputs = None
        self._by_position = None

    def passed_over(self, scope: str) -> list[str]:
        """Give the recorded calls of a scope that its code, having run to its end, has not made any more.

        Those recorded after a failure that was taken back are left out: without it the code may well have gone elsewhere.
        """
        if not self._upto:
            return []
        detour = self._state.detour
        bound = self._upto if detour is None else min(detour, self._upto)
        return [
            known.call.path
            for known in self._state.children(scope)
            if known.seq <= bound
            and known.call.path not in self._claimed
            and not isinstance(known.outcome, CallCancelled)
        ]

    def _unclaimed(self, path: str, digest: bytes) -> str | None:
        if not self._upto:
            return None
        if self._by_inputs is None:
            self._by_inputs = {}
            for call in self._recorded():
                self._by_inputs.setdefault((*_name_in_branch(call.call.path), call.call.digest), []).append(call.call.path)
        for candidate in self._by_inputs.get((*_name_in_branch(path), digest), ()):
            if candidate not in self._claimed and candidate in self._state.calls:
                return candidate
        return None

    def _recorded_at(self, path: str, position: int) -> str | None:
        """Give the unclaimed call that the journal has at this position of the branch, under another name."""
        if not self._upto:
            return None
        if self._by_position is None:
            self._by_position = {
                (_name_in_branch(call.call.path)[0], call.call.position): call.call.path for call in self._recorded()
            }
        other = self._by_position.get((_name_in_branch(path)[0], position))
        return None if other is None or other in self._claimed or other not in self._state.calls else other

    def _recorded(self) -> Iterator[CallState]:
        return (call for call in self._state.calls.values() if call.seq <= self._upto)


def _name_in_branch(path: str) -> tuple[str, str]:
    """Split a path into its branch and the name of the call, without its ordinal."""
    branch, _, last = path.rpartition("/")
    return branch, last.partition("#")[0]
