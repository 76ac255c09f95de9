"""What an author may ask of a task or a step."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from regrow.errors import UsageError
from regrow.remedies import AskHuman
from regrow.values.approval import Approve, advice, approval
from regrow.values.backoff import Backoff
from regrow.values.cache import Cache
from regrow.values.durations import Duration, seconds
from regrow.values.policies import Budget, GrowPolicy, ResumePolicy
from regrow.values.resources import OUTPUT_BYTES, PROCESSES, Resources
from regrow.values.secret import Secret
from regrow.values.sizes import size


class Options(msgspec.Struct, frozen=True):
    """How one call is to be carried out.

    Attributes:
        name: what the call is called in paths; the function's own name when empty.
        retries: how many further attempts follow a failed one.
        backoff: how long to wait before each of them.
        timeout: seconds that one attempt may take.
        deadline: seconds that all attempts together may take, counted from the first one's start; or the moment
            (seconds since the epoch) by which they must be done, when `deadline_is_moment`.
        deadline_is_moment: which of the two `deadline` is.
        once: at most one execution, even if a crash hides its outcome.
        reconcile: asked what became of a once-only call whose outcome a crash has hidden.
        cache: share its outcome with equal calls, and take theirs; None for neither.
        approve: who must approve the call before it runs; None for nobody.
        memory: bytes that the task may use; None for no limit. This and what follows is for tasks alone.
        cpu: processors that are kept free for it.
        gpu: devices that it alone sees.
        disk: bytes that it may have in its scratch folder.
        output: bytes that it may print.
        processes: how many processes it may have at a time.
        isolate: give it a worker process of its own even without a limit.
        env: environment variables of its worker.
        secrets: names of environment variables that its worker is handed; they are never recorded.
        priority: tasks with a higher one are placed first when the host is full.
        on_oom: how its memory limit grows.
        on_preempted: how often it begins again after a preemption.
        on_failure: asked for a remedy after each failure that no other policy answers; or who is, when nothing else is
            left.
        budget: what healing may cost at most.
        right_size: begin with the memory that earlier runs are known to have needed.
    """

    name: str = ""
    retries: int = 0
    backoff: Backoff = Backoff()
    timeout: float | None = None
    deadline: float | None = None
    deadline_is_moment: bool = False
    once: bool = False
    reconcile: Callable[..., object] | None = None
    cache: Cache | None = None
    approve: Approve | None = None
    memory: int | None = None
    cpu: float | None = None
    gpu: int | None = None
    disk: int | None = None
    output: int | None = None
    processes: int | None = None
    isolate: bool = False
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    priority: int = 0
    on_oom: GrowPolicy | None = None
    on_preempted: ResumePolicy = ResumePolicy()
    on_failure: Callable[..., object] | AskHuman | None = None
    budget: Budget | None = None
    right_size: bool = True

    @property
    def is_limited(self) -> bool:
        """Whether only a worker process of its own can keep what it asks for."""
        amounts = (self.memory, self.cpu, self.gpu, self.disk, self.output, self.processes)
        return self.isolate or any(amount is not None for amount in amounts) or bool(self.env or self.secrets)

    @property
    def resources(self) -> Resources:
        """What its first attempt is given, as far as the author says."""
        return Resources(
            memory=self.memory,
            cpu=1.0 if self.cpu is None else self.cpu,
            gpu=self.gpu or 0,
            disk=self.disk,
            output=OUTPUT_BYTES if self.output is None else self.output,
            processes=PROCESSES if self.processes is None else self.processes,
        )


NAMES = (
    "name", "retries", "backoff", "timeout", "deadline", "once", "reconcile", "on_failure", "budget",
    "cache", "approve",
    "memory", "cpu", "gpu", "disk", "output", "processes", "isolate", "env", "secrets", "priority",
    "on_oom", "on_preempted", "right_size",
)  # fmt: skip
OF_WORKERS = NAMES[NAMES.index("memory") :]
"""The options that only a task can have, because they are about its worker process."""
_FORBIDDEN_IN_NAMES = frozenset("/#~!@ \t\n")


def merge(base: Options, given: Mapping[str, object], *, owner: str) -> Options:
    """Lay options over others.

    Args:
        base: what holds where nothing is given.
        given: options by name, as a user wrote them.
        owner: how errors name the place, such as ``@regrow.task on train``.

    Raises:
        UsageError: an option is unknown (the nearest right one is named), misread or contradicts another.
    """
    changes: dict[str, object] = {}
    for name, value in given.items():
        if name not in NAMES:
            raise UsageError(f"{owner}: {unknown('option', name, NAMES)}")
        changes |= {name: _read_of_worker(name, value, owner)} if name in OF_WORKERS else _read(name, value, owner)
    merged = msgspec.structs.replace(base, **changes)
    if merged.once and merged.retries:
        raise UsageError(f"{owner}: once=True means at most one execution, so it cannot be combined with retries")
    if merged.reconcile is not None and not merged.once:
        raise UsageError(f"{owner}: reconcile= answers for a once-only call; write once=True with it")
    if merged.cache is not None and merged.once:
        raise UsageError(
            f"{owner}: once=True is for an effect that is to happen, and a call that is answered from the cache has "
            f"none; use one of the two"
        )
    return merged


def unknown(what: str, name: str, right: tuple[str, ...] | list[str]) -> str:
    """Say that a name is unknown, with the nearest right one."""
    near = difflib.get_close_matches(name, right, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(right)}" if right else "it takes none"
    return f"unknown {what} {name!r}; {hint}"


def _read(name: str, value: object, owner: str) -> dict[str, object]:  # noqa: C901 - one arm an option
    match name, value:
        case "name", str():
            if not value or _FORBIDDEN_IN_NAMES & set(value):
                raise UsageError(
                    f"{owner}: a name must not be empty or hold blanks or any of / # ~ ! @; it is {value!r}"
                )
        case "retries", int() if not isinstance(value, bool) and value >= 0:
            pass
        case "backoff", Backoff():
            pass
        case "timeout" | "deadline", None:
            pass
        case "deadline", datetime():
            if value.tzinfo is None:
                raise UsageError(f"{owner}: a deadline given as a moment needs a time zone; {value!r} has none")
            return {"deadline": value.timestamp(), "deadline_is_moment": True}
        case "timeout" | "deadline", _:
            return {name: seconds(_duration(value), what=f"{owner}: {name}")} | (
                {"deadline_is_moment": False} if name == "deadline" else {}
            )
        case "once", bool():
            pass
        case "reconcile" | "on_failure" | "budget", None:
            pass
        case "reconcile", _ if callable(value):
            pass
        case "on_failure", AskHuman():
            return {"on_failure": advice(value, owner=owner)}
        case "on_failure", _ if callable(value) and not inspect.iscoroutinefunction(value):
            pass
        case "budget", Budget():
            pass
        case "approve", _:
            return {"approve": approval(value, owner=owner)}
        case "cache", None | Cache():
            pass
        case "cache", bool():
            return {"cache": Cache() if value else None}
        case _:
            raise UsageError(f"{owner}: {name}={value!r} cannot be; {_EXPECTED[name]}")
    return {name: value}


def _read_of_worker(name: str, value: object, owner: str) -> object:
    match name, value:
        case "memory" | "cpu" | "gpu" | "disk" | "output" | "processes", None:
            return None
        case "memory" | "disk" | "output", int() | str():
            return size(value, what=f"{owner}: {name}")
        case "cpu", int() | float() if not isinstance(value, bool) and 0 < value < float("inf"):
            return float(value)
        case "gpu", int() if not isinstance(value, bool) and value >= 0:
            return value
        case "processes", int() if not isinstance(value, bool) and value > 0:
            return value
        case "isolate" | "right_size", bool():
            return value
        case "priority", int() if not isinstance(value, bool):
            return value
        case "env", Mapping() if all(isinstance(one, str) for pair in value.items() for one in pair):
            return tuple(sorted(value.items()))
        case "secrets", list() | tuple():
            return tuple(_secret_name(one, owner) for one in value)
        case "on_oom", None | GrowPolicy():
            return value
        case "on_preempted", ResumePolicy():
            return value
        case _:
            raise UsageError(f"{owner}: {name}={value!r} cannot be; {_EXPECTED[name]}")


def _secret_name(value: object, owner: str) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, Secret) and value.variable:
        return value.variable
    raise UsageError(f"{owner}: secrets=[…] takes names of environment variables, or Secret.from_env(name)")


def _duration(value: object) -> Duration:
    return value  # type: ignore[return-value]  # `seconds` refuses, with a sentence, whatever is none


_EXPECTED = {
    "name": "it takes text",
    "retries": "it takes a whole number, 0 or more",
    "backoff": "it takes regrow.Backoff(base, factor, cap, jitter)",
    "once": "it takes True or False",
    "reconcile": "it takes a function that is called with the inputs of the call in doubt",
    "on_failure": (
        "it takes a synchronous function that is given the failure and returns a remedy, or None; or regrow.AskHuman(…)"
    ),
    "budget": "it takes regrow.Budget(attempts, memory, wall_time)",
    "cache": "it takes True, False, or regrow.Cache(version, max_age, scope, ignore, key, failures)",
    "memory": "it takes bytes, or text such as '256Mi'",
    "disk": "it takes bytes, or text such as '1Gi'",
    "output": "it takes bytes, or text such as '64Mi'",
    "cpu": "it takes a number of processors, more than 0",
    "gpu": "it takes a whole number of devices, 0 or more",
    "processes": "it takes a whole number, 1 or more",
    "isolate": "it takes True or False",
    "right_size": "it takes True or False",
    "priority": "it takes a whole number",
    "env": "it takes a mapping of names to text",
    "secrets": "it takes a list of names of environment variables",
    "on_oom": "it takes regrow.grow(factor, max=…)",
    "on_preempted": "it takes regrow.resume(times)",
}
