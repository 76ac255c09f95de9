"""`regrow inbox`, `answer` and `signal`, as a person types them."""

import shlex
import signal
import time

import pytest

AGENT = """
import dataclasses
import regrow


@dataclasses.dataclass
class Plan:
    title: str
    steps: list[int]


@regrow.step(approve=regrow.Approve(to="alice", question="Send it?"))
async def send(text: str, key: regrow.Secret) -> str:
    return f"sent {text}"


@regrow.task
async def asks(text: str = "hello") -> list:
    sure = await regrow.ask("Are you sure?", evidence={"text": text}, timeout="2d", default=False)
    plan = await regrow.ask("Which plan?", Plan)
    colour = await regrow.ask("Which colour?", choices=["red", "blue"])
    return [sure, plan.title, colour, await send(text, regrow.Secret("hunter2hunter2"))]


@regrow.task
async def listens() -> int:
    return await regrow.wait_for("go", int)


@regrow.task(isolate=True)
async def listens_apart() -> int:
    return await regrow.wait_for("go", int)
"""


@pytest.fixture
def asker(desk):
    (desk.folder / "asker.py").write_text(AGENT, "utf-8")
    return desk


def wait_until_asked(desk, question):
    limit = time.monotonic() + 60
    while True:
        asks = desk.regrow("inbox", "--json").json["asks"]
        if [one["question"]["text"] for one in asks] == [question]:
            return asks[0]
        assert time.monotonic() < limit, f"{question!r} is not asked; there is {asks}"


def interrupted_at(desk, question, *command):
    child = desk.begin(*command)
    ask = wait_until_asked(desk, question)
    return ask, desk.end(child, signal.SIGINT)


def test_a_run_is_answered_question_by_question_and_goes_on_each_time(asker):
    ask, ran = interrupted_at(asker, "Are you sure?", "run", "asker.py", "asks", "--key", "k")
    assert ran.code == 130
    assert f"it waits for an answer: Are you sure? (regrow inbox {ask['id']})" in ran.err
    assert "waiting" in asker.regrow("ls").out
    assert "Are you sure?" in asker.regrow("ls", "--status", "waiting").out
    listed = asker.regrow("inbox").out
    assert "text: hello" in listed
    assert "then it is answered with false" in listed
    why = asker.regrow("why", "k").out
    assert "asks waits for an answer: Are you sure?" in why
    assert f"regrow inbox {ask['id']}" in why

    unfit = asker.regrow("answer", ask["id"], "--value", "3")
    assert (unfit.code, unfit.err) == (2, "regrow: answer: it must be true or false; it is 3\n")
    done = asker.regrow("answer", ask["id"][-6:], "--yes", "--why", "looked at it")
    assert "go on with: regrow resume" in done.err
    given = asker.regrow("show", "k").out
    assert "waits for an answer" not in given
    assert "has been answered, by " in given
    assert "go on with the answer\n  regrow resume " in given
    why = asker.regrow("why", "k").out
    assert f"regrow inbox {ask['id']}" not in why
    assert "go on with what " in why
    late = asker.regrow("answer", ask["id"], "--no")
    assert late.code == 2
    assert "the first answer counts" in late.err

    ask, _ = interrupted_at(asker, "Which plan?", "resume", "k")
    unfit = asker.regrow("answer", ask["id"], "--value", '{"title": "t", "steps": [1, "x"]}')
    assert unfit.err == 'regrow: answer.steps[1]: it must be a whole number; it is "x"\n'
    unknown = asker.regrow("answer", ask["id"], "--value", '{"title": "t", "steps": [1], "setps": [2]}')
    assert unknown.code == 2
    assert unknown.err == "regrow: answer.setps: there is no such field; there are title, steps\n"
    assert asker.regrow("answer", ask["id"], "--value", '{"title": "t", "steps": [1]}').code == 0

    ask, _ = interrupted_at(asker, "Which colour?", "resume", "k")
    assert '"blue" or "red"' in asker.regrow("answer", ask["id"], "--choice", "green").err
    assert asker.regrow("answer", ask["id"], "--choice", "red", "--json").json["ask"]["decided"] == "answered"

    ask, _ = interrupted_at(asker, "Send it?", "resume", "k")
    shown = asker.regrow("inbox", ask["id"]).out
    assert "key: Secret(***)" in shown
    assert "hunter2" not in shown
    assert "is for alice to answer" in asker.regrow("answer", ask["id"], "--yes").err
    ended = asker.regrow("answer", ask["id"], "--yes", "--as", "alice", "--resume")
    assert '"sent hello"' in ended.out, ended.err
    tree = asker.regrow("show", "k").out
    assert "looked at it" in tree
    assert "alice: yes [claimed by local user" in tree
    assert asker.regrow("doctor").code == 0


def test_a_signal_is_sent_before_it_is_waited_for(asker):
    child = asker.begin("run", "asker.py", "listens", "--key", "k")
    while asker.regrow("show", "k", "--json").code:
        pass
    asker.end(child, signal.SIGINT)
    asker.regrow("signal", "k", "go", "7")
    ran = asker.regrow("signal", "k", "nobody's")
    assert "go on with: regrow resume" in ran.err
    assert "waits for a signal" in ran.err
    assert asker.regrow("resume", "k").out == "7\n"


@pytest.mark.parametrize("task", ["listens", "listens_apart"])
def test_a_run_that_waits_for_a_signal_alone_says_so_until_it_has_come(asker, task):
    child = asker.begin("run", "asker.py", task, "--key", "k")
    while (seen := asker.regrow("show", "k", "--json")).code or seen.json["run"]["waits_for_signal"] is None:
        pass
    assert seen.json["run"]["status"] == "running"
    ran = asker.end(child, signal.SIGINT)
    assert "it waits for the signal 'go' (regrow signal" in ran.err
    assert "the signal 'go'" in asker.regrow("ls", "--status", "waiting").out
    assert "waits for the signal 'go'" in asker.regrow("show", "k").out
    why = asker.regrow("why", "k").out
    assert f"{task} waits for the signal 'go'" in why
    assert "go JSON" in why
    slip = asker.regrow("signal", "k", "og", "7")
    assert slip.code == 0
    assert "waits for a signal 'og' now; it waits for 'go'. This one stays for later" in slip.err
    as_json = asker.regrow("signal", "k", "og", "7", "--json").json
    assert (as_json["awaited"], as_json["waits_for"], as_json["place"]) == (False, ["go"], 2)
    sent = asker.regrow("signal", "k", "go", "7", "--json")
    assert "for later" not in sent.err
    assert sent.json["awaited"]
    assert asker.regrow("ls", "--json").json["runs"][0]["status"] == "interrupted"
    assert asker.regrow("resume", "k").out == "7\n"


def test_what_cannot_be_answered_is_said_with_what_to_do(asker):
    assert asker.regrow("inbox").code == 0
    asker.regrow("run", "agent.py", "agent", "--question", "x")
    assert "`regrow inbox` lists those that wait" in asker.regrow("answer", "nothing", "--yes").err
    assert "is no JSON" not in asker.regrow("inbox", "--all").err


@pytest.mark.parametrize("both", [("--yes", "--no"), ("--no", "--yes"), ("--yes", "--value", "false")])
def test_an_answer_that_contradicts_itself_is_refused_and_decides_nothing(asker, both):
    ask, _ = interrupted_at(asker, "Are you sure?", "run", "asker.py", "asks", "--key", "k")
    ran = asker.regrow("answer", ask["id"], *both)
    assert (ran.code, "say one thing" in ran.err) == (2, True)
    assert [one["id"] for one in asker.regrow("inbox", "--json").json["asks"]] == [ask["id"]]


def test_the_inbox_says_how_to_answer_so_that_it_can_be_pasted(asker):
    ask, _ = interrupted_at(asker, "Are you sure?", "run", "asker.py", "asks", "--key", "k")
    listed = asker.regrow("inbox").out
    assert f"regrow answer {ask['id']} --yes\n" in listed
    assert f"regrow answer {ask['id']} --no\n" in listed
    asker.regrow("answer", ask["id"], "--yes")
    ask, _ = interrupted_at(asker, "Which plan?", "resume", "k")
    (line,) = [line.strip() for line in asker.regrow("inbox").out.splitlines() if "regrow answer" in line]
    assert asker.regrow(*shlex.split(line)[1:]).code == 0, "the example is of the form that is asked for"


def test_a_run_that_is_over_is_sent_nothing(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q", "--key", "done")
    ran = desk.regrow("signal", "done", "go", "7")
    assert (ran.code, "waits for nothing any more" in ran.err) == (2, True)
