"""The agents of test_healing.py: isolated tasks, which a worker must be able to load from a file."""

from __future__ import annotations

import asyncio
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

import httpx

import regrow

MIB = 2**20


def effect(line):
    handle = os.open("effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def fill(mib):
    """Use so much memory, at a speed at which whoever looks every 20 ms can follow, and for a while."""
    held = []
    for _ in range(mib // 10):
        held.append(b"x" * (10 * MIB))
        time.sleep(0.005)
    time.sleep(0.1)


AT_ONCE = regrow.Backoff(base=0.0)
SOON = regrow.Backoff(base=0.05, jitter=0.0)


# -- memory ------------------------------------------------------------------------------------------------------------


@regrow.task(memory="256Mi", cpu=0.5, on_oom=regrow.grow(2))
def need(mib: int) -> int:
    effect(f"need-{mib} {os.getpid()}")
    fill(mib)
    effect(f"done-{mib}")
    return os.getpid()


@regrow.task(memory="64Mi", cpu=0.5)
def sibling() -> int:
    effect(f"sibling {os.getpid()}")
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        written = Path("effects").read_text("utf-8").splitlines()
        if all(f"done-{mib}" in written for mib in (200, 400, 600)):
            return os.getpid()
        time.sleep(0.02)
    raise AssertionError("the others have not finished")


@regrow.task
async def three_of_different_sizes() -> list[int]:
    return await asyncio.gather(sibling.aio(), need.aio(200), need.aio(400), need.aio(600))


@regrow.task
async def one_of_a_size(mib: int, right_size: bool) -> int:
    return await need.override(right_size=right_size).aio(mib)


@regrow.task(memory="64Mi")
async def needs_another(mib: int) -> int:
    return await need.aio(mib)


@regrow.task(memory="64Mi", on_oom=regrow.grow(2, max="128Mi"))
def never_enough() -> None:
    fill(400)


@regrow.task(memory="64Mi", on_oom=regrow.grow(2), budget=regrow.Budget(memory="128Mi"))
def beyond_its_budget() -> None:
    fill(400)


@regrow.task(memory="64Mi", on_oom=regrow.grow(2))
def beyond_the_runs_budget() -> None:
    fill(400)


# -- budgets -----------------------------------------------------------------------------------------------------------


@regrow.task(isolate=True, retries=5, backoff=AT_ONCE, budget=regrow.Budget(attempts=2))
def fails_with_its_own_error() -> None:
    raise ValueError(f"attempt {regrow.current().attempt}")


@regrow.task(isolate=True, retries=5, backoff=AT_ONCE, budget=regrow.Budget(attempts=2))
def crashes() -> None:
    os._exit(2 + regrow.current().attempt)


@regrow.task(isolate=True, retries=10, backoff=AT_ONCE)
def always_fails(number: int) -> None:
    raise ValueError(number)


@regrow.task
async def many_that_fail() -> list[str]:
    told = await asyncio.gather(*(always_fails.aio(number) for number in range(3)), return_exceptions=True)
    return [type(one).__name__ for one in told]


# -- policies ----------------------------------------------------------------------------------------------------------


@regrow.task(memory="64Mi", on_failure=lambda failure: regrow.Grow(memory="256Mi"))
def grown_by_policy() -> str:
    fill(150)
    return "fits"


@regrow.task(isolate=True, on_failure=lambda failure: regrow.RetryAfter(0.2))
def tried_again_by_policy() -> int:
    attempt = regrow.current().attempt
    if attempt == 1:
        raise ValueError("the first time")
    return attempt


@regrow.task(timeout=0.3, on_failure=lambda failure: regrow.Extend(20))
def extended_by_policy() -> str:
    effect("slow")
    time.sleep(0.6)
    return "in the end"


@regrow.step
def remember(what: str) -> str:
    effect(what)
    return what


@regrow.task
def plan_b(question: str) -> str:
    return remember(f"plan b for {question}")


@regrow.task(isolate=True, on_failure=lambda failure: regrow.Fallback(plan_b))
def plan_a(question: str) -> str:
    effect("plan a")
    raise ValueError("cannot")


def shown(failure):
    effect(f"shown {type(failure).__name__} {failure.layer} {failure.facts['attempt']}")
    return regrow.GiveUp()


@regrow.task(isolate=True, retries=3, backoff=AT_ONCE, on_failure=shown)
def given_up_by_policy() -> None:
    effect("tried")
    raise ValueError("no")


@regrow.task(isolate=True, retries=1, backoff=AT_ONCE, on_failure=lambda failure: None)
def left_to_its_retries() -> int:
    if regrow.current().attempt == 1:
        raise ValueError("the first time")
    return regrow.current().attempt


def broken_policy(failure):
    raise LookupError("no such remedy")


@regrow.task(isolate=True, retries=3, backoff=AT_ONCE, on_failure=broken_policy)
def has_a_broken_policy() -> None:
    effect("tried")
    raise ValueError("the task's own")


@regrow.task(isolate=True, retries=3, backoff=AT_ONCE, on_failure=lambda failure: "grow")
def has_a_policy_that_returns_nonsense() -> None:
    effect("tried")
    raise ValueError("the task's own")


@regrow.task
async def call(task: str) -> object:
    return await globals()[task].aio()


@regrow.task
async def ask(question: str) -> str:
    return await plan_a.aio(question)


# -- services ----------------------------------------------------------------------------------------------------------


def get(url, client):
    if client == "httpx":
        return httpx.get(url, timeout=10).raise_for_status().text
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refused:
        refused.close()
        raise


@regrow.task(isolate=True, retries=1, backoff=SOON)
def fetch(url: str, client: str) -> str:
    return get(url, client)


@regrow.step(retries=1, backoff=SOON)
async def fetch_here(url: str, client: str) -> str:
    return await asyncio.to_thread(get, url, client)


@regrow.task
async def reader(url: str, client: str, isolated: bool) -> str:
    return await (fetch.aio(url, client) if isolated else fetch_here(url, client))


@regrow.step
async def ask_service(number: int) -> str:
    effect("service asked")
    raise ConnectionError("nobody there")


@regrow.step
async def answer_locally(number: int) -> str:
    if number == 4 and not Path("resumed").exists():
        raise KeyboardInterrupt
    effect("answered locally")
    return f"local {number}"


class CircuitOpen(Exception):
    """The service is left alone: it has failed three times in a row."""


@regrow.task
async def with_a_breaker_and_a_fallback(questions: int) -> list[str]:
    answers, failed = [], 0
    for number in range(questions):
        try:
            if failed >= 3:
                raise CircuitOpen
            answers.append(await ask_service(number))
            failed = 0
        except (ConnectionError, CircuitOpen):
            failed += 1
            answers.append(await answer_locally(number))
    return answers
