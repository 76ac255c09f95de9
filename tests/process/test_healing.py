"""Failures that are healed, and those that cannot be: growth, budgets, policies, and services that say wait."""

from __future__ import annotations

import itertools
import threading
import time
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

import regrow
from regrow.authoring import home
from regrow.executors.process import ProcessExecutor
from regrow.journal.records import (
    AttemptFailed,
    CallFailed,
    CallSucceeded,
    RecordedFallback,
    WorkerGrown,
    WorkerStarted,
)

from . import healing_agents as agents
from .observed import can_hold, counted, effects, journal, journals, memory_of_host

pytestmark = [pytest.mark.process, pytest.mark.promise("P6")]

MIB = 2**20


@pytest.fixture
def cannot_hold():
    """Be a host without cgroups: what passes its limit there is refused memory or killed."""
    workers = ProcessExecutor("regrow.authoring.outpost", detect=lambda: None)
    with home.use_executor(workers):
        yield
    workers.close()


@pytest.fixture
def holds():
    if not can_hold():
        pytest.skip("this host cannot hold a worker at its memory limit: no cgroup that regrow may make")


# -- growth ------------------------------------------------------------------------------------------------------------


def grown_to(events):
    """Give the limits that were reached by growing, in place or from attempt to attempt."""
    return {one.after if isinstance(one, WorkerGrown) else one.remedy.memory for one in events}


@pytest.mark.skipif(memory_of_host() < 4 * 2**30, reason="three tasks of up to 1 GiB need a host with 4 GiB")
@pytest.mark.parametrize("place", ["in place", "from attempt to attempt"])
def test_three_tasks_grow_to_what_they_need_and_no_sibling_is_disturbed(place, request):
    request.getfixturevalue("holds" if place == "in place" else "cannot_hold")
    pids = regrow.run(agents.three_of_different_sizes)
    first = journal()
    assert first.row.status == "succeeded"
    (undisturbed,) = first.of(WorkerStarted, "sibling")
    assert undisturbed.pid == pids[0]
    assert counted()[f"sibling {pids[0]}"] == 1
    grown = first.of(WorkerGrown if place == "in place" else AttemptFailed)
    assert grown_to(grown) == {512 * MIB, 1024 * MIB}
    assert {one.path if place == "in place" else one.call.path for one in grown} == {
        "three_of_different_sizes#1/need#2",
        "three_of_different_sizes#1/need#3",
    }

    regrow.run(agents.three_of_different_sizes)
    second = journal()
    assert second.of(AttemptFailed) == second.of(WorkerGrown) == []
    for started in second.of(WorkerStarted, "need"):
        assert first.row.id in started.size_from
        assert 600 * MIB < started.resources.memory <= 1024 * MIB
    assert [one.size_from for one in second.of(WorkerStarted, "sibling")] == [""]


def test_without_right_size_the_same_memory_is_found_out_again():
    regrow.run(agents.one_of_a_size, 400, True)
    regrow.run(agents.one_of_a_size, 400, False)
    again = journal()
    assert len(again.of(WorkerGrown) + again.of(AttemptFailed)) == 1
    assert {(one.resources.memory, one.size_from) for one in again.of(WorkerStarted)[:1]} == {(256 * MIB, "")}
    regrow.run(agents.one_of_a_size, 400, True)
    assert journal().of(WorkerGrown) == journal().of(AttemptFailed) == []


def test_growth_in_place_keeps_the_worker_and_its_attempt(holds):
    pid = regrow.run(agents.one_of_a_size, 600, True)
    grown = journal().of(WorkerGrown)
    assert [(one.before // MIB, one.after // MIB, one.attempt) for one in grown] == [(256, 512, 1), (512, 1024, 1)]
    (started,) = journal().of(WorkerStarted)
    assert (started.pid, started.attempt, started.resources.memory) == (pid, 1, 256 * MIB)
    assert effects() == [f"need-600 {pid}", "done-600"]
    assert journal().of(AttemptFailed) == []


def test_where_a_worker_cannot_be_held_it_is_started_again_with_more(cannot_hold):
    pid = regrow.run(agents.one_of_a_size, 600, True)
    failed = journal().of(AttemptFailed)
    assert [one.error.summary().partition(":")[0] for one in failed] == ["OutOfMemory", "OutOfMemory"]
    assert [(one.attempt, one.remedy, one.chosen_by, one.counts) for one in failed] == [
        (1, regrow.Grow(memory=512 * MIB), "on_oom", False),
        (2, regrow.Grow(memory=1024 * MIB), "on_oom", False),
    ]
    started = journal().of(WorkerStarted)
    assert [one.resources.memory // MIB for one in started] == [256, 512, 1024]
    assert len({one.pid for one in started}) == 3
    assert started[-1].pid == pid
    assert journal().of(WorkerGrown) == []


def limits_of_history(failure):
    return [line.partition("limit of ")[2].partition(" (")[0] for line in failure.history]


def test_growth_ends_at_its_maximum_with_the_history_of_attempts(cannot_hold):
    with pytest.raises(regrow.OutOfMemory) as caught:
        regrow.run(agents.call, "never_enough")
    failure = caught.value
    assert failure.limit == 128 * MIB
    assert limits_of_history(failure) == ["64 MiB"]
    assert "Grow" in failure.history[0]
    assert "on_oom" in failure.history[0]
    assert failure.history[0] in failure.describe()
    assert [one.resources.memory // MIB for one in journal().of(WorkerStarted)] == [64, 128]


def test_growth_in_place_ends_at_its_maximum_as_well(holds):
    with pytest.raises(regrow.OutOfMemory) as caught:
        regrow.run(agents.call, "never_enough")
    assert (caught.value.limit, caught.value.confidence) == (128 * MIB, "certain")
    (started,) = journal().of(WorkerStarted)
    assert started.resources.memory == 64 * MIB
    assert [(one.before // MIB, one.after // MIB) for one in journal().of(WorkerGrown)] == [(64, 128)]


@pytest.mark.parametrize("place", ["in place", "from attempt to attempt"])
@pytest.mark.parametrize("whose", ["the task's own", "the run's"])
def test_no_budget_of_memory_is_grown_beyond(place, whose, request):
    request.getfixturevalue("holds" if place == "in place" else "cannot_hold")
    with pytest.raises(regrow.OutOfMemory) as caught:
        if whose == "the run's":
            regrow.run(agents.call, "beyond_the_runs_budget", budget=regrow.Budget(memory="128Mi"))
        else:
            regrow.run(agents.call, "beyond_its_budget")
    assert caught.value.limit == 128 * MIB
    if place == "from attempt to attempt":
        assert limits_of_history(caught.value) == ["64 MiB"]
    assert max(one.resources.memory for one in journal().of(WorkerStarted)) <= 128 * MIB


def test_a_task_inside_a_worker_is_healed_as_one_in_the_driver_is(cannot_hold):
    regrow.run(agents.needs_another, 400)
    (failed,) = journal().of(AttemptFailed)
    assert failed.call.path == "needs_another#1/need#1"
    assert (failed.remedy, failed.chosen_by) == (regrow.Grow(memory=512 * MIB), "on_oom")
    assert [one.attempt for one in journal().of(WorkerStarted, "need")] == [1, 2]
    assert len(journal().of(WorkerStarted, "needs_another")) == 1


# -- budgets -----------------------------------------------------------------------------------------------------------


def test_a_budget_of_attempts_re_raises_the_last_error_with_the_whole_history():
    with pytest.raises(ValueError, match="attempt 2") as caught:
        regrow.run(agents.call, "fails_with_its_own_error")
    notes = "\n".join(caught.value.__notes__)
    assert "budget" in notes
    assert "attempt 1: ValueError: attempt 1" in notes
    assert len(journal().of(WorkerStarted)) == 2


def test_a_failure_of_regrows_own_carries_the_history_as_data():
    with pytest.raises(regrow.Crashed) as caught:
        regrow.run(agents.call, "crashes")
    assert caught.value.code == 4
    (line,) = caught.value.history
    assert "exit code 3" in line


def test_the_budget_of_a_run_bounds_all_of_its_calls_together():
    told = regrow.run(agents.many_that_fail, budget=regrow.Budget(attempts=4))
    assert told == ["ValueError"] * 3
    seen = journal()
    assert len(seen.of(AttemptFailed)) == 4
    assert len(seen.of(WorkerStarted)) == 3 + 4


# -- policies ----------------------------------------------------------------------------------------------------------


def healed_by_policy():
    (failed,) = journal().of(AttemptFailed)
    assert failed.chosen_by == "on_failure"
    return failed


def test_a_policy_may_let_a_task_grow():
    assert regrow.run(agents.call, "grown_by_policy") == "fits"
    assert healed_by_policy().remedy == regrow.Grow(memory=256 * MIB)


def test_a_policy_may_have_it_tried_again_after_a_while():
    assert regrow.run(agents.call, "tried_again_by_policy") == 2
    failed = healed_by_policy()
    assert failed.remedy == regrow.RetryAfter(0.2)
    (started,) = [one for one in journal().records if isinstance(one.event, WorkerStarted) and one.event.attempt == 2]
    assert started.time >= failed.retry_at


def test_a_timeout_that_is_too_short_is_extended_and_the_task_succeeds():
    assert regrow.run(agents.call, "extended_by_policy") == "in the end"
    failed = healed_by_policy()
    assert failed.remedy == regrow.Extend(20)
    assert failed.error.summary().startswith("TimedOut")
    assert counted() == {"slow": 2}


def test_a_fallback_answers_as_a_call_of_its_own_inside():
    assert regrow.run(agents.ask, "why") == "plan b for why"
    assert healed_by_policy().remedy == RecordedFallback(agents.plan_b.ref)
    assert [one.call.path for one in journal().of(CallSucceeded)] == [
        "ask#1/plan_a#1/plan_b#1/remember#1",
        "ask#1/plan_a#1/plan_b#1",
        "ask#1/plan_a#1",
        "ask#1",
    ]


def test_a_resumed_run_repeats_neither_the_task_nor_what_its_fallback_has_done(program):
    story = program("""
        @regrow.step
        def first(question: str) -> str:
            effect("first")
            return question

        @regrow.step
        def second(question: str) -> str:
            effect("second")
            return question.upper()

        @regrow.task(isolate=True)
        def plan_b(question: str) -> str:
            first(question)
            if not os.path.exists("died"):
                open("died", "w").close()
                os.kill(int(open("driver").read()), signal.SIGKILL)
                time.sleep(30)
            return second(question)

        @regrow.task(isolate=True, on_failure=lambda failure: regrow.Fallback(plan_b))
        def plan_a(question: str) -> str:
            effect("plan a")
            raise ValueError("cannot")

        @regrow.task
        async def main() -> str:
            return await plan_a.aio("why")

        if __name__ == "__main__":
            with open("driver", "w") as file:
                file.write(str(os.getpid()))
            print(regrow.run(main, key="fallback"))
    """)
    assert story.run_until_it_survives(starts=2).out == "WHY\n"
    assert story.ledger() == {"plan a": 1, "first": 1, "second": 1}


def test_a_policy_is_shown_the_typed_failure_and_may_give_up_though_retries_are_left():
    with pytest.raises(ValueError, match="no"):
        regrow.run(agents.call, "given_up_by_policy")
    assert effects() == ["tried", "shown Raised logical 1"]


def test_a_policy_that_has_nothing_to_say_leaves_it_to_the_retries():
    assert regrow.run(agents.call, "left_to_its_retries") == 2
    (failed,) = journal().of(AttemptFailed)
    assert (failed.remedy, failed.chosen_by, failed.counts) == (None, "retries", True)


@pytest.mark.parametrize(
    ("task", "because"),
    [
        ("has_a_broken_policy", "on_failure raised LookupError: no such remedy"),
        ("has_a_policy_that_returns_nonsense", "on_failure: it returns a remedy"),
    ],
)
def test_a_policy_that_is_broken_ends_it_and_hides_nothing(task, because):
    with pytest.raises(ValueError, match="the task's own") as caught:
        regrow.run(agents.call, task)
    assert any(because in note for note in caught.value.__notes__)
    assert effects() == ["tried"]


# -- services ----------------------------------------------------------------------------------------------------------


class Service:
    """A web service on loopback that gives the answers it was told to, one after another, and then 200."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self._clock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler):  # noqa: N805 - the standard library's names; `self` is the service
                self.answer(handler)

            def log_message(handler, *_):  # noqa: N805
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def answer(self, handler):
        with self._clock:
            self.asked.append(time.monotonic())
            status, headers = self.answers.pop(0) if self.answers else (200, {})
        body = b"here you are" if status == 200 else b"not now"
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def serving():
    services = []

    def serve(*answers):
        services.append(Service(*answers))
        return services[-1]

    yield serve
    for service in services:
        service.close()


@pytest.mark.parametrize(
    ("client", "isolated", "times"), [("urllib", True, 3), ("httpx", False, 2)], ids=["in a worker", "in the driver"]
)
def test_waits_that_a_service_asks_for_are_kept_and_take_nothing_off_the_retries(serving, client, isolated, times):
    service = serving(*[(429, {"Retry-After": "1"})] * times)
    assert regrow.run(agents.reader, service.url, client, isolated) == "here you are"
    assert len(service.asked) == times + 1
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(service.asked))
    waits = [(one.remedy, one.counts) for one in journal().of(AttemptFailed)]
    assert waits == [(regrow.RetryAfter(1.0), False)] * times


@pytest.mark.parametrize("client", ["urllib", "httpx"])
@pytest.mark.parametrize("isolated", [True, False], ids=["in a worker", "in the driver"])
def test_a_service_that_is_not_available_is_asked_again_with_back_off_and_that_counts(serving, isolated, client):
    service = serving((503, {}), (503, {}))
    with pytest.raises((urllib.error.HTTPError, httpx.HTTPStatusError)) as caught:
        regrow.run(agents.reader, service.url, client, isolated)
    assert isinstance(regrow.failure_of(caught.value), regrow.Unavailable)
    first, second = service.asked
    assert second - first >= 0.05
    (failed,) = journal().of(AttemptFailed)
    assert (failed.remedy, failed.counts) == (None, True)


def test_once_it_is_available_again_a_retry_is_enough(serving):
    service = serving((503, {}))
    assert regrow.run(agents.reader, service.url, "urllib", True) == "here you are"
    assert len(journal().of(AttemptFailed)) == 1
    assert len(service.asked) == 2


def test_a_circuit_breaker_and_a_fallback_are_plain_python_and_survive_a_restart():
    with pytest.raises(KeyboardInterrupt):
        regrow.run(agents.with_a_breaker_and_a_fallback, 6, key="breaker")
    assert counted() == {"service asked": 3, "answered locally": 4}
    Path("resumed").touch()
    answers = regrow.run(agents.with_a_breaker_and_a_fallback, 6, key="breaker")
    assert answers == [f"local {number}" for number in range(6)]
    assert counted() == {"service asked": 3, "answered locally": 6}
    assert len(journals()) == 1
    assert len(journal().of(CallFailed)) == 3
