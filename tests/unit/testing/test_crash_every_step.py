"""`pytest --crash-every-step`, as a user's suite meets it: what it lets through, and what it catches and names."""

from __future__ import annotations

import re

import pytest

pytest_plugins = ("pytester",)


@pytest.fixture(autouse=True)
def a_terminal_as_users_have_it(monkeypatch):
    """In CI pytest repeats whole messages in its summary."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("BUILD_NUMBER", raising=False)


SETTINGS = """
[pytest]
filterwarnings =
    error
    ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning
"""
"""Strict; but plugins are loaded here already, and if that was by `pytest --assert=plain`, they are not rewritten."""

CONFTEST = 'pytest_plugins = ["regrow.testing.pytest_plugin"]'

SOUND = """
import regrow

effects = None

@regrow.step
def charge(amount):
    effects.note("charge")
    return amount

@regrow.step
def send(text):
    effects.note("mail")
    return text

@regrow.task
def order(amount):
    charge(amount)
    return send(f"charged {amount}")

def test_an_order(regrow_store, regrow_effects):
    global effects
    effects = regrow_effects
    assert regrow.run(order, 5, key="order", store=regrow_store) == "charged 5"
    assert regrow_effects == {"charge": 1, "mail": 1}
"""


@pytest.fixture
def suite(pytester, monkeypatch):
    """Give a function that runs a user's suite, in this process, and gives pytest's result."""
    monkeypatch.delenv("REGROW_HOME")
    pytester.makeini(SETTINGS)
    pytester.makeconftest(CONFTEST)

    def run(source, *options):
        pytester.makepyfile(test_order=source)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)

    return run


def counted(result):
    """Give the numbers of the summary line: tests, crash points, failures."""
    (found,) = re.findall(r"regrow: (\d+) tests?, (\d+) crash points, (\d+) failed", result.stdout.str())
    return tuple(int(number) for number in found)


def points_named(result):
    """Give the crash points that the report names."""
    return [int(number) for number in re.findall(r"^crash point (\d+) \(", result.stdout.str(), re.MULTILINE)]


def test_without_the_option_a_test_runs_once(suite):
    result = suite(SOUND)
    result.assert_outcomes(passed=1)
    assert "crash points" not in result.stdout.str()


def test_a_sound_agent_lives_through_a_crash_on_either_side_of_every_record(suite):
    result = suite(SOUND, "--crash-every-step")
    result.assert_outcomes(passed=1)
    # The run, its driver, the task's start, the two steps, the task's result and the end: seven records.
    assert counted(result) == (1, 14, 0)


def test_a_sound_agent_lives_through_every_two_crashes(suite):
    result = suite(SOUND, "--crash-every-pair")
    result.assert_outcomes(passed=1)
    tests, points, failed = counted(result)
    assert (tests, failed) == (1, 0)
    assert points > 14 * 5


def test_an_effect_outside_of_a_step_is_caught_and_its_crash_points_are_named(suite):
    careless = SOUND.replace('return send(f"charged {amount}")', 'effects.note("mail"); return f"charged {amount}"')
    careless = careless.replace(
        "    charge(amount)\n    eff", "    effects.note('greeting')\n    charge(amount)\n    eff"
    )
    careless = careless.replace(
        '{"charge": 1, "mail": 1}', '{"charge": 1, "mail": 1, "greeting": regrow_effects["greeting"]}'
    )
    suite(careless).assert_outcomes(passed=1)
    result = suite(careless, "--crash-every-step")
    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    # Before the record of `charge` all is lost, and bound to be done again. Once the task is recorded, nothing is.
    assert points_named(result) == [8, 9]
    assert "crash point 8 (after record 4, CallSucceeded order#1/charge#1)" in output
    assert "effect 'greeting' was done 2 times; undisturbed once (order#1)" in output
    assert "effect 'mail'" not in output
    assert "--crash-at=8" in output


def test_the_command_that_the_report_names_repeats_that_point_alone(suite):
    careless = SOUND.replace("    charge(amount)\n", "    effects.note('greeting')\n    charge(amount)\n")
    careless = careless.replace("    assert regrow_effects", "    # ")
    assert counted(suite(careless, "--crash-at=8")) == (1, 1, 1)
    assert counted(suite(careless, "--crash-at=7")) == (1, 1, 0)


def test_a_step_that_cannot_be_done_twice_is_caught_between_its_effect_and_its_record(suite):
    result = suite(
        """
        import regrow

        files = {}

        @regrow.step
        def create():
            if "report" in files:
                raise FileExistsError("report")
            files["report"] = ""
            return "report"

        @regrow.task
        def write():
            return create()

        def test_it(regrow_store):
            if not regrow_store.deaths:
                files.clear()
            assert regrow.run(write, key="k", store=regrow_store) == "report"
        """,
        "--crash-every-step",
    )
    result.assert_outcomes(failed=1)
    # The task's start is committed together with the step's result, so these are one gap, torn in three places.
    assert points_named(result) == [5, 6, 7]
    assert "crash point 7 (before record 4, CallSucceeded write#1/create#1)" in result.stdout.str()
    assert "FileExistsError" in result.stdout.str()


def test_a_result_that_depends_on_a_crash_is_told_beside_the_undisturbed_one(suite):
    result = suite(
        """
        import regrow

        asked = []

        @regrow.step
        def ask():
            asked.append(1)
            return "answer"

        @regrow.task
        def agent():
            ask()
            return len(asked)  # state of the process: gone, or counted twice, after a crash

        def test_it(regrow_store):
            if not regrow_store.deaths:
                asked.clear()
            regrow.run(agent, key="k", store=regrow_store)
        """,
        "--crash-every-step",
    )
    result.assert_outcomes(failed=1)
    assert points_named(result) == [5, 6, 7]
    assert "run 'k' succeeded with 2; undisturbed it succeeded with 1" in result.stdout.str()


def test_a_result_that_is_never_the_same_is_not_compared(suite):
    result = suite(
        """
        import time
        import regrow

        @regrow.task
        def agent():
            return time.perf_counter_ns()

        def test_it(regrow_store):
            regrow.run(agent, key="k", store=regrow_store)
        """,
        "--crash-every-step",
    )
    result.assert_outcomes(passed=1)


def test_a_run_without_a_key_is_told_that_it_is_begun_anew(suite):
    result = suite(
        SOUND.replace('key="order", ', "").replace("    assert regrow_effects", "    # "), "--crash-every-step"
    )
    result.assert_outcomes(failed=1)
    assert "give regrow.run a key=" in result.stdout.str()


def test_an_effect_with_a_key_may_be_repeated(suite):
    keyed = SOUND.replace("    charge(amount)\n", "    effects.note('greeting', key='hello')\n    charge(amount)\n")
    keyed = keyed.replace('{"charge": 1, "mail": 1}', '{"charge": 1, "mail": 1, "greeting": 1}')
    suite(keyed, "--crash-every-step").assert_outcomes(passed=1)


def test_a_once_only_call_whose_outcome_is_lost_waits_and_is_not_repeated(suite):
    once = SOUND.replace("@regrow.step\ndef charge", "@regrow.step(once=True)\ndef charge")
    result = suite(once, "--crash-every-step")
    result.assert_outcomes(passed=1)
    assert re.search(r"at 2 a once=True call waits", result.stdout.str())


def test_a_once_only_call_that_can_be_reconciled_waits_for_nobody(suite):
    once = SOUND.replace(
        "@regrow.step\ndef charge",
        "def look(amount):\n"
        "    return regrow.Happened(amount) if effects['charge'] else regrow.DidNotHappen()\n\n"
        "@regrow.step(once=True, reconcile=look)\ndef charge",
    )
    result = suite(once, "--crash-every-step")
    result.assert_outcomes(passed=1)
    assert counted(result) == (1, 16, 0)
    assert "a once=True call waits" not in result.stdout.str()


def test_fixtures_are_set_up_afresh_for_each_crash_point_and_shared_by_its_lives(suite):
    result = suite(
        """
        import regrow

        @regrow.step
        def create(file):
            file.write_text("x")

        @regrow.task
        def write(place):
            from pathlib import Path
            return create(Path(place))

        def test_it(regrow_store, tmp_path):
            file = tmp_path / "file"
            if not regrow_store.deaths:
                assert not file.exists()
            regrow.run(write, str(file), key=file.name, store=regrow_store)
            assert file.read_text() == "x"
        """,
        "--crash-every-step",
    )
    # The key is the same in each play, but the argument is not: the run of another play would be a KeyConflict.
    result.assert_outcomes(passed=1)


def test_a_test_that_fails_undisturbed_is_reported_as_always(suite):
    result = suite(SOUND.replace('== "charged 5"', '== "charged 6"'), "--crash-every-step")
    result.assert_outcomes(failed=1)
    assert "crash points" not in result.stdout.str()


def test_a_test_that_hands_the_store_to_no_run_tests_nothing_and_fails(suite):
    result = suite("def test_it(regrow_store): pass", "--crash-every-step")
    result.assert_outcomes(failed=1)
    assert "hands regrow_store to no run" in result.stdout.str()


def test_tests_without_the_fixture_are_left_alone(suite):
    result = suite("runs = []\ndef test_it():\n    runs.append(1)\n    assert runs == [1]", "--crash-every-step")
    result.assert_outcomes(passed=1)


def test_fixtures_of_a_module_outlive_the_tests_of_it(suite):
    source = SOUND.replace("def test_an_order(", "def test_an_order(place, ").replace(
        "import regrow\n",
        "import pytest\nimport regrow\n\n@pytest.fixture(scope='module')\ndef place():\n    return []\n",
        1,
    )
    source += "\n\ndef test_the_other(place):\n    pass\n"
    result = suite(source, "--crash-every-step")
    result.assert_outcomes(passed=2)


def test_faults_and_scripts_outlive_the_deaths_of_the_process_that_they_happen_to(suite):
    result = suite(
        """
        import regrow
        from regrow.testing import ScriptedModel, faults, rate_limit

        def test_it(regrow_store):
            with faults(rate_limit("ask#1", times=2, retry_after=0.0)), ScriptedModel("one", "two") as model:

                @regrow.step(retries=1)
                def ask(prompt):
                    return model(prompt)

                @regrow.task
                def agent():
                    return [ask("first"), ask("second")]

                assert regrow.run(agent, key="k", store=regrow_store) == ["one", "two"]
        """,
        "--crash-every-step",
    )
    result.assert_outcomes(passed=1)
    assert counted(result)[2] == 0


def test_an_asynchronous_test_is_said_to_be_run_once_only(suite):
    result = suite(
        """
        import pytest
        import regrow

        @regrow.task
        async def agent():
            return 1

        @pytest.mark.anyio
        async def test_it(regrow_store):
            assert await (await regrow.start(agent, key="k", store=regrow_store)).result() == 1

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
        """,
        "--crash-every-step",
    )
    result.assert_outcomes(passed=1)
    assert "run once only: it is asynchronous" in result.stdout.str()
