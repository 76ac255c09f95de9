"""Cancelling runs, and deciding about calls whose outcome is unknown."""

import signal

import pytest

from regrow.values.ids import idempotency_key

pytestmark = pytest.mark.e2e


def test_cancelling_a_live_run_runs_its_finally_and_waits_for_the_end(desk):
    child = desk.begin("run", "agent.py", "slow")
    desk.wait_for_trace(5)
    cancelled = desk.regrow("cancel", "@last")
    _, err = child.communicate(timeout=60)
    assert cancelled.code == 0, cancelled.err
    assert child.returncode == 1
    assert "cancelled by" in err
    assert desk.trace()[-1] == "finally"
    assert desk.regrow("ls", "--json").json["runs"][0]["status"] == "cancelled"


def test_cancelling_an_interrupted_run_ends_it_and_retry_takes_it_up_again(desk):
    child = desk.begin("run", "agent.py", "slow")
    desk.wait_for_trace(5)
    desk.end(child, signal.SIGKILL)
    assert desk.regrow("cancel", "@last").code == 0
    assert desk.regrow("ls", "--json").json["runs"][0]["status"] == "cancelled"
    assert desk.regrow("doctor").code == 0
    (desk.folder / "hurry").touch()
    assert desk.regrow("retry", "@last").code == 0
    assert desk.regrow("doctor").code == 0


def test_a_finished_run_cannot_be_cancelled(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q")
    ran = desk.regrow("cancel", "@last")
    assert ran.code == 2
    assert "has succeeded already" in ran.err


def test_a_run_that_another_process_drives_is_refused_with_its_holder(desk):
    child = desk.begin("run", "agent.py", "slow", "--key", "k")
    desk.wait_for_trace(5)
    ran = desk.regrow("resume", "@last")
    assert ran.code == 4
    assert f"pid {child.pid}" in ran.err


def unknown_outcome(desk):
    child = desk.begin("run", "agent.py", "shop")
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    stopped = desk.regrow("resume", "@last")
    assert stopped.code == 1
    assert "OutcomeUnknown" in stopped.err
    assert desk.trace() == ["pay 7"]
    return desk.regrow("why", "@last")


def test_a_killed_run_shows_the_key_of_its_once_only_call_and_the_two_ways_to_decide_at_once(desk):
    child = desk.begin("run", "agent.py", "shop", "--key", "k")
    child.communicate(timeout=60)
    run = desk.regrow("show", "k", "--json").json["run"]["id"]
    for view in ("show", "why"):
        shown = desk.regrow(view, "k").out
        assert idempotency_key(run, "shop#1/pay#1") in shown, view
        assert "'shop#1/pay#1' --happened JSON" in shown, view
        assert "'shop#1/pay#1' --did-not-happen" in shown, view


def test_under_a_stop_why_and_doctor_name_it_and_how_to_lift_it(desk):
    child = desk.begin("run", "agent.py", "slow", "--key", "k")
    desk.wait_for_trace(2)
    desk.end(child, signal.SIGINT)
    desk.regrow("pause", "k")
    assert "1 run is paused" in desk.regrow("doctor").out
    desk.regrow("stop", "--all", "--reason", "it deletes files")
    why, doctor = desk.regrow("why", "k"), desk.regrow("doctor")
    ways = why.out[why.out.index("ways on") :]
    assert ways.index("regrow stop --lift --all") < ways.index("regrow resume")
    assert "it deletes files" in ways
    assert desk.regrow("why", "k", "--json").json["stop"]["reason"] == "it deletes files"
    assert doctor.code == 0
    assert "this store is stopped, by " in doctor.out
    assert "it deletes files; to lift that: regrow stop --lift --all" in doctor.out
    assert desk.regrow("stop", "--lift", "--all").code == 0
    assert "stop" not in desk.regrow("why", "k").out
    assert desk.regrow("why", "k", "--json").json["stop"] is None
    assert "stopped" not in desk.regrow("doctor").out


def test_a_once_only_call_that_happened_is_resolved_and_never_executed_again(desk):
    why = unknown_outcome(desk)
    assert "regrow resolve " in why.out
    assert "shop#1/pay#1" in why.out
    resolved = desk.regrow("resolve", "@last", "pay#1", "--happened", '{"paid": 7}', "--reason", "the bank says so")
    assert resolved.code == 0, resolved.err
    retried = desk.regrow("retry", "@last")
    assert retried.json == {"paid": 7}
    assert desk.trace() == ["pay 7"]
    assert desk.regrow("doctor").code == 0


def test_a_once_only_call_that_did_not_happen_is_executed_by_the_retry(desk):
    unknown_outcome(desk)
    (desk.folder / "mended").touch()
    ran = desk.regrow("resolve", "@last", "shop#1/pay#1", "--did-not-happen", "--retry")
    assert (ran.code, ran.json) == (0, {"paid": 7})
    assert desk.trace() == ["pay 7", "pay 7"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pay#1",), "either --happened JSON or --did-not-happen"),
        (("pay#1", "--happened", "{"), "it takes JSON"),
        (("buy#1", "--did-not-happen"), "there is shop#1/pay#1"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(desk, arguments, said):
    unknown_outcome(desk)
    ran = desk.regrow("resolve", "@last", *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_a_run_without_unknown_outcomes_has_nothing_to_resolve(desk):
    desk.regrow("run", "agent.py", "fails")
    ran = desk.regrow("resolve", "@last", "think#1", "--did-not-happen")
    assert ran.code == 2
    assert "no call whose outcome is unknown" in ran.err
