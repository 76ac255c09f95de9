"""Running, resuming and retrying from the command line, as a user does it."""

import signal

import pytest

pytestmark = pytest.mark.e2e


def test_a_run_prints_its_result_on_stdout_and_everything_else_on_stderr(desk):
    ran = desk.regrow("run", "agent.py", "agent", "--question", "what now")
    assert ran.code == 0, ran.err
    assert ran.json == {"answer": "WHAT NOW", "numbers": [0, 2, 4]}
    assert "agent#1/work#2: done" in ran.err
    assert "succeeded" in ran.err


def test_a_text_result_is_printed_as_it_is(desk):
    (desk.folder / "mended").touch()
    ran = desk.regrow("run", "agent.py", "fails")
    assert (ran.code, ran.out) == (0, "WHY\n")


def test_output_in_a_pipe_has_no_escape_codes(desk):
    ran = desk.regrow("run", "agent.py", "agent", "--question", "q")
    listed, shown = desk.regrow("ls"), desk.regrow("show", "@last")
    assert "\x1b" not in ran.out + ran.err + listed.out + shown.out


def test_what_user_code_raises_cannot_steer_the_terminal(desk):
    ran = desk.regrow("run", "agent.py", "prints_escapes")
    why, shown = desk.regrow("why", "@last"), desk.regrow("show", "@last")
    assert ran.code == 1
    assert not {"\x1b", "\x07"} & set(ran.err + why.out + shown.out)


def test_arguments_are_typed_by_the_signature(desk):
    ran = desk.regrow(
        *("run", "agent.py", "typed", "--text", "7", "--number", "3", "--share", "2", "--flag", "--path", "x/y"),
        *("--mode", "fast", "--colour", "blue", "--plan", '{"names": ["b", "c"]}'),
    )
    assert ran.json == ["7", 3, 2.0, True, "x/y", "fast", "blue", ["b", "c"], 2]


def test_arguments_that_are_left_out_take_the_functions_own_defaults(desk):
    ran = desk.regrow("run", "agent.py", "typed", "--text", "t", "--number", "1")
    assert ran.json == ["t", 1, 0.5, False, "None", "good", "red", ["a"], 2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--quesion", "q"), "did you mean --question?"),
        ((), "missing option '--question'"),
        (("--question", "q", "--width", "many"), "'many' is not a valid integer"),
    ],
)
def test_a_wrong_argument_is_said_in_one_sentence(desk, arguments, said):
    ran = desk.regrow("run", "agent.py", "agent", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.startswith("regrow: ")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "nowhere.py"), "there is no file nowhere.py"),
        (("run", "agent.py"), "say which: "),
        (("run", "agent.py", "agnt"), "did you mean agent?"),
        (("run", "agent.py", "think"), "is a step"),
        (("run", "agent.py", "note"), "is a plain function"),
        (("run", "broken.py"), "SyntaxError"),
        (("run", "raises.py"), "NameError: name 'nothing' is not defined"),
        (("run", "agent.py", "typed", "--text", "t", "--number", "1", "--plan", '{"names": 3}'), "expected `array`"),
        (("run", "agent.py", "typed", "--text", "t", "--number", "1", "--plan", "{"), "it takes JSON"),
        (("run", "agent.py", "typed", "--text", "t", "--number", "1", "--mode", "bad"), "not one of fast, good"),
        (("shw", "@last"), "did you mean 'show'?"),
        (("gc", "--older-than", "soon"), "cannot be read"),
    ],
)
def test_a_mistake_gets_a_sentence_and_no_traceback_of_ours(desk, arguments, said):
    (desk.folder / "broken.py").write_text("def f(:\n", "utf-8")
    (desk.folder / "raises.py").write_text("nothing\n", "utf-8")
    desk.regrow("run", "agent.py", "agent", "--question", "q")
    ran = desk.regrow(*arguments)
    assert ran.code == 2, ran.err
    assert said in ran.err
    assert ran.err.startswith("regrow: ")
    assert "Traceback" not in ran.err
    assert "site-packages" not in ran.err


def test_help_of_a_task_shows_its_arguments_types_defaults_and_docstring(desk):
    ran = desk.regrow("run", "agent.py", "agent", "--help")
    assert ran.code == 0
    for text in (
        "Answer a question.",
        "--question TEXT",
        "what is asked.",
        "--width INTEGER",
        "[default: 3]",
        "required",
    ):
        assert text in ran.out


def test_the_same_key_returns_the_result_and_executes_nothing(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q", "--key", "monday")
    before = desk.trace()
    again = desk.regrow("run", "agent.py", "agent", "--question", "q", "--key", "monday")
    assert again.json["answer"] == "Q"
    assert "nothing was executed" in again.err
    assert desk.trace() == before


def test_the_same_key_with_other_inputs_is_refused(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q", "--key", "monday")
    other = desk.regrow("run", "agent.py", "agent", "--question", "other", "--key", "monday")
    assert other.code == 2
    assert "other inputs" in other.err


def test_a_failing_run_shows_the_users_error_and_frame_and_exits_with_1(desk):
    ran = desk.regrow("run", "agent.py", "fails")
    assert ran.code == 1
    assert "ValueError: cannot answer WHY" in ran.err
    assert "at fails in " in ran.err
    assert "agent.py:" in ran.err
    assert "regrow why " in ran.err
    assert "Traceback" not in ran.err


def test_a_failed_run_is_explained_and_retried_without_repeating_what_succeeded(desk):
    desk.regrow("run", "agent.py", "fails")
    why = desk.regrow("why", "@failed")
    assert why.code == 0
    lines = why.out.splitlines()
    assert "fails failed" in lines[0]
    assert "agent.py:" in lines[2]
    assert "regrow retry " in why.out
    (desk.folder / "mended").touch()
    retried = desk.regrow("retry", "@failed")
    assert (retried.code, retried.out) == (0, "WHY\n")
    assert desk.trace() == ["think why"]
    assert "succeeded" in desk.regrow("ls").out


def test_why_shows_each_attempts_own_error(desk):
    desk.regrow("run", "agent.py", "calls_out")
    why = desk.regrow("why", "@last")
    assert desk.trace() == ["flaky"] * 3
    for attempt in (1, 2, 3):
        assert f"ConnectionError: no line, {attempt}" in why.out
    assert "has failed 3 times" in why.out


def test_why_gives_the_commands_for_the_store_in_use(desk):
    desk.regrow("run", "agent.py", "fails", "--store", "my runs")
    why = desk.regrow("why", "@last", "--store", "my runs")
    assert "--store 'my runs'" in why.out


def test_show_draws_the_tree_with_status_attempts_and_time(desk):
    desk.regrow("run", "agent.py", "calls_out")
    shown = desk.regrow("show", "@last").out
    assert "✗ calls_out  failed" in shown
    assert "flaky  step  failed" in shown
    assert "3 attempts" in shown
    assert "attempt 2" in shown


def test_after_kill_9_the_run_is_interrupted_and_resume_executes_only_the_rest(desk):
    child = desk.begin("run", "agent.py", "slow", "--steps", "60")
    desk.wait_for_trace(20)
    killed = desk.end(child, signal.SIGKILL)
    assert killed.code == -signal.SIGKILL
    done = len(desk.trace())
    listed = desk.regrow("ls")
    assert "interrupted" in listed.out
    assert "running" not in listed.out
    assert "disappeared without a word" in desk.regrow("why", "@last").out
    resumed = desk.regrow("resume", "@last")
    assert (resumed.code, resumed.out) == (0, "60\n")
    thoughts = [line for line in desk.trace() if line.startswith("think")]
    assert len(thoughts) - 60 <= 1, "only what was under way when it was killed may run again"
    assert done < 60
    assert "from the journal" in resumed.err


def test_ctrl_c_exits_with_130_runs_finally_and_says_how_to_resume(desk):
    child = desk.begin("run", "agent.py", "slow")
    desk.wait_for_trace(5)
    stopped = desk.end(child, signal.SIGINT)
    assert stopped.code == 130
    assert "regrow resume " in stopped.err
    assert "Traceback" not in stopped.err
    assert desk.trace()[-1] == "finally"
    assert "interrupted" in desk.regrow("ls").out


def test_sigterm_exits_with_143_runs_finally_and_says_how_to_resume(desk):
    child = desk.begin("run", "agent.py", "slow")
    desk.wait_for_trace(5)
    stopped = desk.end(child, signal.SIGTERM)
    assert stopped.code == 143
    assert "regrow resume " in stopped.err
    assert "Traceback" not in stopped.err
    assert desk.trace()[-1] == "finally"


def test_a_finished_run_that_is_resumed_gives_its_result_and_says_so(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q")
    before = desk.trace()
    again = desk.regrow("resume", "@last")
    assert again.json["answer"] == "Q"
    assert "already succeeded" in again.err
    assert desk.trace() == before


def test_a_run_whose_file_is_outside_of_the_folder_is_not_loaded_unless_it_is_named(desk, tmp_path_factory):
    desk.regrow("run", "agent.py", "fails")
    (desk.folder / "mended").touch()
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    store = str(desk.folder / ".regrow")
    home, desk.folder = desk.folder, elsewhere
    refused = desk.regrow("retry", "@last", "--store", store)
    named = desk.regrow("retry", "@last", "--store", store, "--file", str(home / "agent.py"))
    assert refused.code == 2
    assert "outside of this folder" in refused.err
    assert (named.code, named.out) == (0, "WHY\n")


def test_a_file_with_another_task_is_refused(desk):
    desk.regrow("run", "agent.py", "fails")
    (desk.folder / "other.py").write_text("import regrow\n\n@regrow.task\ndef else_() -> None: ...\n", "utf-8")
    ran = desk.regrow("retry", "@last", "--file", "other.py")
    assert ran.code == 2
    assert "has no task 'fails'" in ran.err


def test_python_file_and_regrow_run_give_the_same_names(desk):
    import subprocess
    import sys

    script = "\n\nif __name__ == '__main__':\n    regrow.run(agent, 'q', key='k')\n"
    with (desk.folder / "agent.py").open("a") as file:
        file.write(script)
    subprocess.run([sys.executable, "agent.py"], cwd=desk.folder, env=desk.env, check=True, timeout=60)
    ran = desk.regrow("run", "agent.py", "agent", "--question", "q", "--key", "k")
    assert ran.code == 0, ran.err
    assert "already succeeded" in ran.err
