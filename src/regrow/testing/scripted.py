"""A language model that says what a test has written down, fails when that says so, and counts what it was asked."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from regrow.engine.branches import current_branch
from regrow.engine.scope import Scope
from regrow.errors import UsageError
from regrow.testing.outside import take_up

_WORD = re.compile(r"\S+\s*")


class ScriptExhausted(UsageError):
    """A model was asked more often than its script has answers. Never tried again: the test, or the agent, is wrong."""


class Asked(msgspec.Struct, frozen=True):
    """One question.

    Attributes:
        prompt: what the model was given.
        settings: the further arguments of the call.
    """

    prompt: Any
    settings: dict[str, Any]


class _State(msgspec.Struct):
    """What the model remembers, also of a caller whose process has died."""

    asked: list[Asked] = []
    given: dict[tuple[str, str, int, int], Any] = {}
    next: int = 0
    matched: Counter[str] = msgspec.field(default_factory=Counter)


class ScriptedModel:
    """Stands for a language model, inside of steps and elsewhere.

    It can be called (``model(prompt)``), awaited (``await model.aio(prompt)``) and streamed (``async for piece in
    model.stream(prompt)``). An answer is any value; an exception, in its place or in a piece's, is raised.

    A call that is carried out again, because a death was played before its answer was recorded, gets the same answer
    again; a script is not used up by crashes.

    As a context manager it checks at its end that each answer was asked for.
    """

    def __init__(self, *answers: Any, when: Mapping[str, Any] | None = None) -> None:
        """Write the script.

        Args:
            answers: given in this order.
            when: answers by pattern (`re.search` in the prompt's text), each as often as it is asked for. A tuple is
                given one by one, and its last one for ever. They go before `answers`.
        """
        self._answers = answers
        self._when = dict(when or {})
        self._state = take_up("model", _State)
        self._lock = threading.Lock()
        self._scope: Counter[int] = Counter()
        self._scopes: list[Scope] = []

    @property
    def asked(self) -> tuple[Asked, ...]:
        """What it was asked so far, in order."""
        return tuple(self._state.asked)

    @property
    def prompts(self) -> list[Any]:
        """The prompts alone."""
        return [one.prompt for one in self._state.asked]

    @property
    def unasked(self) -> list[Any]:
        """The answers that nobody has asked for, and the patterns that nothing has matched."""
        state = self._state
        return [*self._answers[state.next :], *(pattern for pattern in self._when if not state.matched[pattern])]

    def __call__(self, prompt: Any, **settings: Any) -> Any:
        """Answer.

        Raises:
            ScriptExhausted: the script has no answer for it.
            BaseException: what the script says.
        """
        return _spoken(self._answer(prompt, settings))

    async def aio(self, prompt: Any, **settings: Any) -> Any:
        """Answer whoever awaits it; raises what a plain call does."""
        return _spoken(self._answer(prompt, settings))

    async def stream(self, prompt: Any, **settings: Any) -> AsyncIterator[Any]:
        """Answer in pieces: those of a list, or the words of a text; raises what a plain call does."""
        answer = _spoken(self._answer(prompt, settings))
        for piece in _WORD.findall(answer) if isinstance(answer, str) else answer:
            yield _spoken(piece)

    def check_all_asked(self) -> None:
        """Fail a test whose agent has not asked for all of it.

        Raises:
            AssertionError: names what it has not.
        """
        if self.unasked:
            raise AssertionError(
                f"never asked for: {', '.join(repr(one) for one in self.unasked)}; asked were {self.prompts!r}"
            )

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Check, unless the test has failed already."""
        if kind is None:
            self.check_all_asked()

    def _answer(self, prompt: Any, settings: dict[str, Any]) -> Any:
        with self._lock:
            place = self._place()
            if place is not None and place in self._state.given:
                return self._state.given[place]
            self._state.asked.append(Asked(prompt, settings))
            answer = self._next(prompt if isinstance(prompt, str) else str(prompt))
            if place is not None:
                self._state.given[place] = answer
            return answer

    def _place(self) -> tuple[str, str, int, int] | None:
        """Say which question this is, of which attempt at which call; the same when that is carried out again."""
        branch = current_branch()
        if branch is None:
            return None
        scope = branch.scope
        if id(scope) not in self._scope:
            self._scopes.append(scope)  # kept, so that no other gets its id
        self._scope[id(scope)] += 1
        return scope.driver.run, scope.path, scope.attempt, self._scope[id(scope)]

    def _next(self, text: str) -> Any:
        state = self._state
        for pattern, answer in self._when.items():
            if re.search(pattern, text):
                state.matched[pattern] += 1
                return answer[min(state.matched[pattern], len(answer)) - 1] if isinstance(answer, tuple) else answer
        if state.next >= len(self._answers):
            raise ScriptExhausted(
                f"the script has no answer to question {len(state.asked)}: {text!r} "
                f"(it has {len(self._answers)} in order and {len(self._when)} by pattern)"
            )
        state.next += 1
        return self._answers[state.next - 1]


def _spoken(answer: Any) -> Any:
    if not isinstance(answer, BaseException):
        return answer
    # A new one each time: what the engine notes on an exception is about one call.
    cls = type(answer)
    error = cls.__new__(cls, *answer.args)
    error.__dict__.update(answer.__dict__)
    raise error
