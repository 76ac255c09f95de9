"""Lists, documents, logs, checks: everything that only looks."""

import os
import pty
import subprocess
import sys
import time

import apsw
import pytest

from regrow.codec import capture
from regrow.errors import OutOfMemory, Preempted
from regrow.journal.chain import seal
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallFailed,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    DriverOpened,
    Record,
    RunCreated,
    RunEnded,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
)
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import Entry, NewRun
from regrow.remedies import Grow, Resume
from regrow.values.resources import Resources

pytestmark = pytest.mark.e2e


def on_a_terminal(desk, *arguments, **env):
    """Run a command with a terminal for all three streams, and give all that it wrote there."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "regrow", *arguments],
        cwd=desk.folder,
        env={**desk.env, **env},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert child.wait(timeout=60) is not None
    return written.decode()


def test_every_command_answers_with_one_versioned_json_document(desk):
    assert desk.regrow("run", "agent.py", "calls_out", "--json").json["error"]["type"] == "builtins:ConnectionError"
    ran = desk.regrow("run", "agent.py", "agent", "--question", "q", "--json")
    assert ran.json["result"]["answer"] == "Q"
    assert ran.json["tally"]["executed"] == 5
    for arguments in (
        ("ls",),
        ("show", "@last"),
        ("why", "@failed"),
        ("logs", "@last"),
        ("resume", "@last"),
        ("retry", "@failed"),
        ("doctor",),
        ("gc", "--dry-run"),
        ("version",),
        ("show", "nothing-like-it"),
    ):
        document = desk.regrow(*arguments, "--json").json
        assert document["version"] == 1, arguments
        assert document["command"] == arguments[0]


def test_an_error_is_a_document_as_well_when_one_was_asked_for(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q")
    ran = desk.regrow("show", "nothing-like-it", "--json")
    assert ran.code == 3
    assert ran.json["error"]["exit_code"] == 3
    assert ran.json["error"]["kind"] == "UnknownRun"


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        (("run", "nope.py"), "Mistake", 2),
        (("run", "agent.py", "agent", "--quest", "q"), "Mistake", 2),
        (("show",), "MissingParameter", 2),
        (("nope",), "UsageError", 2),
    ],
)
def test_an_error_in_what_was_typed_is_a_document_too(desk, arguments, kind, code):
    ran = desk.regrow(*arguments, "--json")
    assert (ran.code, ran.json["error"]["kind"], ran.json["error"]["exit_code"]) == (code, kind, code)
    assert ran.json["error"]["message"] in ran.err
    assert desk.regrow(*arguments).out == ""


def test_debug_has_no_document_and_offers_none(desk):
    assert "--json" not in desk.regrow("debug", "--help").out
    assert "--store" in desk.regrow("debug", "--help").out
    ran = desk.regrow("debug", "@last", "--json")
    assert (ran.code, ran.json["error"]["kind"]) == (2, "NoSuchOption")


def test_show_as_json_holds_the_whole_tree(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q", "--width", "9")
    (root,) = desk.regrow("show", "@last", "--json").json["calls"]
    assert [child["name"] for child in root["children"]].count("work") == 9
    assert root["status"] == "succeeded"
    assert root["children"][0]["inputs"] == "question='q'"


def test_a_run_is_found_by_prefix_suffix_key_and_at_last(desk):
    desk.regrow("run", "agent.py", "fails")
    desk.regrow("run", "agent.py", "agent", "--question", "q", "--key", "monday")
    first, second = (desk.regrow("show", typed, "--json").json["run"] for typed in ("@failed", "@last"))
    assert first["task"] == "agent:fails"
    assert second["key"] == "monday"
    for typed in (second["id"], second["id"][-4:].upper(), second["short"], "monday"):
        assert desk.regrow("show", typed, "--json").json["run"]["id"] == second["id"]


def test_an_id_that_fits_several_runs_is_refused_and_names_them(desk):
    for _ in range(2):
        desk.regrow("run", "agent.py", "agent", "--question", "q")
    start = desk.regrow("show", "@last", "--json").json["run"]["id"][:5]
    ran = desk.regrow("show", start)
    assert ran.code == 3
    assert "fits 2 runs" in ran.err


def test_without_a_store_ls_says_that_there_is_nothing_and_the_others_that_there_is_no_store(desk):
    listed, shown = desk.regrow("ls"), desk.regrow("show", "@last")
    assert listed.code == 0
    assert "no runs" in listed.err
    assert shown.code == 5
    assert not (desk.folder / ".regrow").exists()


def test_logs_follow_a_run_until_it_ends(desk):
    (desk.folder / "talks.py").write_text(
        "import asyncio, logging, regrow\n\n@regrow.task\nasync def talks() -> None:\n"
        "    for number in range(5):\n        logging.info('line %s', number)\n        await asyncio.sleep(0.3)\n",
        "utf-8",
    )
    child = desk.begin("run", "talks.py")
    end = time.monotonic() + 30
    while not desk.regrow("ls").out and time.monotonic() < end:
        time.sleep(0.05)
    followed = desk.regrow("logs", "@last", "-f")
    child.communicate(timeout=60)
    assert followed.code == 0
    assert [line.rpartition("  ")[2] for line in followed.out.splitlines()] == [f"line {n}" for n in range(5)]


def test_doctor_finds_nothing_wrong_with_what_regrow_has_written(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q" * 100_000)
    desk.regrow("run", "agent.py", "calls_out")
    ran = desk.regrow("doctor", "--json")
    assert ran.code == 0, ran.out
    assert ran.json["runs"] == 2
    assert ran.json["blobs"] >= 1
    assert ran.json["host"]["sqlite"].startswith("3.")


def test_doctor_names_the_run_and_the_record_of_a_flipped_byte(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q")
    run = desk.regrow("ls", "--json").json["runs"][0]["id"]
    db = apsw.Connection(str(desk.folder / ".regrow" / "journal.db"))
    ((body,),) = db.execute("SELECT body FROM records WHERE seq = 4").fetchall()
    db.execute("UPDATE records SET body = ? WHERE seq = 4", (body[:20] + bytes([body[20] ^ 1]) + body[21:],))
    db.close()
    ran, as_json = desk.regrow("doctor"), desk.regrow("doctor", "--json")
    assert ran.code == 1
    assert f"run {run}: record 4 is damaged" in ran.out
    assert [(one["run"], one["record"]) for one in as_json.json["problems"]] == [(run, 4)]
    assert desk.regrow("show", "@last").code == 5


def test_doctor_names_the_run_of_a_damaged_blob(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q" * 100_000)
    run = desk.regrow("ls", "--json").json["runs"][0]["id"]
    blob = next((desk.folder / ".regrow" / "blobs").glob("??/*"))
    data = bytearray(blob.read_bytes())
    data[1000] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(data)
    problems = desk.regrow("doctor", "--json").json["problems"]
    assert [one["run"] for one in problems] == [run]
    assert "is damaged" in problems[0]["text"]


def test_gc_removes_old_runs_and_their_blobs_and_leaves_the_others(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "q" * 100_000)
    for blob in (desk.folder / ".regrow" / "blobs").glob("??/*"):
        os.utime(blob, (time.time() - 7200,) * 2)
    kept, dry = desk.regrow("gc", "--json").json, desk.regrow("gc", "--older-than", "0s", "--dry-run", "--json").json
    assert (len(kept["runs"]), len(dry["runs"])) == (0, 1)
    assert desk.regrow("ls", "--json").json["runs"]
    gone = desk.regrow("gc", "--older-than", "0s", "--json").json
    assert len(gone["runs"]) == 1
    assert gone["blobs"] >= 1
    assert desk.regrow("ls", "--json").json["runs"] == []
    assert not list((desk.folder / ".regrow" / "blobs").glob("??/*"))


def test_a_terminal_gets_colours_and_a_tree(desk):
    (desk.folder / "hurry").touch()
    written = on_a_terminal(desk, "run", "agent.py", "slow", "--steps", "3")
    assert "\x1b[32m" in written
    assert "slow" in written


def test_no_color_is_honoured(desk):
    desk.regrow("run", "agent.py", "fails")
    with_colours, without = on_a_terminal(desk, "ls"), on_a_terminal(desk, "ls", NO_COLOR="1")
    assert "\x1b[31m" in with_colours
    assert "\x1b[31m" not in without
    assert "failed" in without


def test_help_lists_every_command_and_the_exit_codes(desk):
    ran = desk.regrow("--help")
    assert ran.code == 0
    for text in ("demo", "resolve", "doctor", "130", "@failed", "the run can be resumed"):
        assert text in ran.out


@pytest.mark.parametrize(
    "command",
    ["run", "resume", "retry", "ls", "show", "why", "logs", "cancel", "resolve", "doctor", "gc", "version", "demo"],
)
def test_the_help_of_every_command_has_an_example(desk, command):
    ran = desk.regrow(command, "--help")
    assert ran.code == 0
    assert "Example: regrow" in ran.out
    assert "--store" in ran.out
    assert "--json" in ran.out


def test_help_loads_no_terminal_library():
    probe = "import sys, regrow.cli; regrow.cli.main(['--help']); print(sorted({'rich', 'apsw'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert "'rich'" not in done.stdout.splitlines()[-1]


def test_a_version_says_what_it_is_of(desk):
    assert desk.regrow("version").out.startswith("regrow ")


def test_secrets_never_appear(desk):
    (desk.folder / "hides.py").write_text(
        "import logging, regrow\n\n@regrow.task\nasync def hides(token: regrow.Secret) -> None:\n"
        "    logging.warning('using %s', token.reveal())\n    raise ValueError(f'refused {token.reveal()}')\n",
        "utf-8",
    )
    ran = desk.regrow("run", "hides.py", "--token", "TOKEN", TOKEN="hunter2-hunter2")
    views = [desk.regrow(*view) for view in (("why", "@last"), ("logs", "@last"), ("show", "@last", "--json"))]
    assert ran.code == 1
    assert "refused" in ran.err
    assert "hunter2" not in "".join(one.out + one.err for one in (ran, *views))


MIB = 2**20
GROWN = "train#1/fit#2"


class Journal:
    """A run with workers, written by hand: the same history on every machine, whatever limits that has."""

    def __init__(self, desk):
        self.store = SqliteStore(desk.folder / ".regrow")
        self.run = "06h" + "0" * 19 + "work"
        self.store.create(NewRun(self.run, "agent:train", 1_000.0))
        self.epoch = self.store.claim(self.run, "ann@host pid 1 (aa)")
        self.seq, self.previous = 0, b""
        self.add(RunCreated(self.run, "agent:train", "/src/agent.py", b"", b""))
        self.add(DriverOpened("ann@host pid 1 (aa)", "0.2.0", "3.11"))

    def add(self, *events, outcome=None):
        for event in events:
            self.seq += 1
            time_ = 1_000.0 + self.seq
            stored = seal(Record(self.seq, time_, "driver", self.epoch, self.previous, event))
            self.previous = stored.hash
            self.store.append([Entry(self.run, self.epoch, stored, (), outcome, time=time_)])

    def begin(self, path, attempt=1, memory=256 * MIB, **more):
        resources = Resources(memory=memory)
        self.add(CallStarted(Call(path, "task", 1, b""), attempt))
        self.add(WorkerStarted(path, attempt, 77, "ann", resources, ("cgroup v1", "RLIMIT_DATA"), **more))

    def finish(self, path, attempt=1, peak=100 * MIB, limit=256 * MIB):
        self.add(WorkerEnded(path, attempt, "result", peak, 0.5, limit))
        self.add(CallSucceeded(Call(path, "task", 1, b""), attempt, 1_000.0 + self.seq, b"\x01\xc0"))

    def let_go(self):
        self.store.release(self.run, self.epoch)


def out_of_memory(path, limit):
    failure = OutOfMemory(path, peak=limit, limit=limit, enforced_by="cgroup v1")
    return capture(failure.explained(evidence=("the cgroup counted 1 OOM kill",), facts={"attempt": 1}))


@pytest.fixture
def journal(desk):
    """One fit that grew in place, one that was begun again with more and resumed once, and six plain ones."""
    journal = Journal(desk)
    journal.add(CallStarted(Call("train#1", "task", 1, b""), 1))
    journal.begin("train#1/fit#1", size_from="what earlier runs needed")
    journal.add(WorkerGrown("train#1/fit#1", 1, 256 * MIB, 512 * MIB, 0.004, "cgroup v1"))
    journal.finish("train#1/fit#1", peak=412 * MIB, limit=512 * MIB)
    journal.begin(GROWN)
    fit = Call(GROWN, "task", 1, b"")
    failed = out_of_memory(GROWN, 256 * MIB)
    journal.add(AttemptFailed(fit, 1, 1_009.0, failed, 1_010.0, (), Grow(memory=512 * MIB), "on_oom"))
    journal.begin(GROWN, 2, 512 * MIB)
    journal.add(CheckpointSaved(GROWN, 2, 1, b"\x01\xc0"))
    preempted = capture(Preempted(GROWN, grace=5.0))
    journal.add(AttemptFailed(fit, 2, 1_012.0, preempted, 1_013.0, (), Resume(), "on_preempted", counts=False))
    journal.begin(GROWN, 3, 512 * MIB)
    journal.finish(GROWN, 3, peak=300 * MIB, limit=512 * MIB)
    for number in range(3, 9):
        journal.begin(f"train#1/fit#{number}")
        journal.finish(f"train#1/fit#{number}", peak=(100 + number) * MIB)
    yield journal
    journal.store.close()


def test_show_gives_each_isolated_call_one_more_line(desk, journal):
    shown = desk.regrow("show", journal.run).out
    lines = [line.strip(" │╰─") for line in shown.splitlines()]
    assert (
        "peak 412 MiB of 512 MiB, cgroup v1; limit: what earlier runs needed; "
        "256 → 512 MiB in place, held 4 ms, nothing lost"
    ) in lines
    assert "peak 300 MiB of 512 MiB, cgroup v1; 1 checkpoint" in lines
    assert sum(line.startswith("peak ") for line in lines) == 2
    assert any("6  task" in line and "peaks up to 108 MiB" in line for line in lines)


def test_show_tells_what_each_attempt_failed_of_and_what_was_done_about_it(desk, journal):
    lines = desk.regrow("show", journal.run).out.splitlines()
    (first,) = [line for line in lines if "attempt 1" in line]
    (second,) = [line for line in lines if "attempt 2" in line]
    assert "OutOfMemory" in first
    assert first.endswith("→ grown to 512 MiB and begun again (on_oom)")
    assert second.endswith("→ resumed after preemption from checkpoint 1 (on_preempted, takes nothing off its retries)")


def test_show_in_full_tells_every_worker_and_all_evidence(desk, journal):
    shown = desk.regrow("show", journal.run, "--full").out
    assert "certain: the cgroup counted 1 OOM kill" in shown
    assert "cgroup v1 + RLIMIT_DATA" in shown
    assert "ended with result" in shown
    assert sum("process 77 on ann" in line for line in shown.splitlines()) == 10


def test_show_as_json_has_workers_and_remedies_as_data(desk, journal):
    (root,) = desk.regrow("show", journal.run, "--json").json["calls"]
    grown_in_place, begun_again = root["children"][:2]
    (attempt,) = grown_in_place["attempts"]
    assert attempt["worker"]["peak"] == 412 * MIB
    assert attempt["worker"]["resources"]["memory"] == 256 * MIB
    assert [(one["before"], one["after"]) for one in attempt["worker"]["grown"]] == [(256 * MIB, 512 * MIB)]
    assert begun_again["checkpoints"] == 1
    first, second, _ = begun_again["attempts"]
    assert (first["remedy"], first["chosen_by"]) == ({"type": "grow", "memory": 512 * MIB}, "on_oom")
    assert (second["remedy"], second["counts"]) == ({"type": "resume"}, False)


def test_why_tells_how_a_death_is_known_and_what_to_write_against_it(desk, journal):
    error = out_of_memory("train#1/fit#9", 256 * MIB)
    journal.begin("train#1/fit#9")
    journal.add(CallFailed(Call("train#1/fit#9", "task", 1, b""), 1, 1_040.0, error))
    journal.add(CallFailed(Call("train#1", "task", 1, b""), 1, 1_003.0, error, ("train#1/fit#9",)))
    journal.add(RunEnded("failed", error, ("train#1",)), outcome="failed")
    shown, known = desk.regrow("why", journal.run).out, desk.regrow("why", journal.run, "--json").json["known"]
    assert "how that is known (certain)" in shown
    assert "the cgroup counted 1 OOM kill" in shown
    assert "give it more: memory='512Mi' or on_oom=regrow.grow(2, max='2Gi'), on fit" in shown
    assert f"{GROWN}: attempt 1 ended in OutOfMemory: grown to 512 MiB and begun again (on_oom)" in shown
    assert (known["type"], known["confidence"], known["facts"]) == ("OutOfMemory", "certain", {"attempt": 1})


def test_why_tells_what_the_workers_of_an_interrupted_run_were_doing(desk, journal):
    journal.begin("train#1/fit#9", kills=0, boot="another boot")
    now = 1_000.0 + journal.seq
    journal.add(WorkerSampled("train#1/fit#9", 1, ((now + 0.6, 240 * MIB),)))
    journal.let_go()
    seen = desk.regrow("why", journal.run, "--json").json["last_seen"]
    assert seen[0] == "train#1/fit#9 had used 240 of 256 MiB 400 ms before its driver was last heard of"
    assert "what its workers were doing" in desk.regrow("why", journal.run).out


def test_doctor_says_of_each_layer_of_limits_whether_it_is_in_force(desk):
    ran = desk.regrow("doctor", "--json")
    layers = {one["name"]: one for one in ran.json["limits"]}
    assert {"cgroup memory", "growth in place", "RLIMIT_DATA", "memory watchdog", "wall clock"} <= set(layers)
    assert layers["wall clock"]["in_force"]
    assert all(one["meaning"] for one in layers.values())
    shown = desk.regrow("doctor").out
    assert all(name in shown for name in layers)


@pytest.fixture
def spoil(desk):
    """Give a hand that changes the store's database as damage would."""

    def change(statement):
        db = apsw.Connection(str(desk.folder / ".regrow" / "journal.db"))
        db.execute(statement)
        db.close()

    return change


@pytest.mark.parametrize("change", ["outcome = 'suaceeded'", "task = CAST(x'61ff62' AS TEXT)"], ids=["value", "text"])
def test_a_damaged_row_is_named_and_the_other_runs_are_listed_and_found(desk, spoil, change):
    for key in ("one", "other"):
        desk.regrow("run", "agent.py", "agent", "--question", "q", "--key", key)
    one, other = (desk.regrow("show", key, "--json").json["run"]["id"] for key in ("one", "other"))
    spoil(f"UPDATE runs SET {change} WHERE key = 'one'")
    listed, as_json = desk.regrow("ls"), desk.regrow("ls", "--json")
    assert listed.code == as_json.code == 0
    assert other[-8:] in listed.out
    assert f"run {one}: its row in the list of runs is damaged" in listed.err
    assert [row["id"] for row in as_json.json["runs"]] == [other]
    assert [problem["run"] for problem in as_json.json["problems"]] == [one]
    assert [problem["run"] for problem in desk.regrow("doctor", "--json").json["problems"]] == [one]
    for typed in (other, other[-8:], "other"):
        assert desk.regrow("show", typed).code == 0
    for typed in (one, one[-8:], "one"):
        ran = desk.regrow("show", typed)
        assert ran.code == 5
        assert one in ran.err


@pytest.mark.parametrize("what", ["task", "key", "project"])
def test_doctor_says_what_a_run_is_called_in_the_list_and_what_in_its_first_record(desk, spoil, what):
    desk.regrow("run", "agent.py", "agent", "--question", "q", "--key", "monday")
    assert desk.regrow("doctor").code == 0
    spoil(f"UPDATE runs SET {what} = 'damaged'")
    ran = desk.regrow("doctor", "--json")
    (problem,) = ran.json["problems"]
    assert ran.code == 1
    assert f"the list of runs says that its {what} is 'damaged', its first record says '" in problem["text"]


def test_an_imported_run_may_be_called_otherwise_than_it_was_and_its_forks_as_well(desk, spoil):
    desk.regrow("run", "agent.py", "agent", "--question", "q", "--key", "monday")
    desk.regrow("export", "monday", "-o", "run.regrow")
    elsewhere = ("--store", "elsewhere", "--project", "south")
    desk.regrow("import", "run.regrow", "--key", "tuesday", *elsewhere)
    assert desk.regrow("fork", "tuesday", "--at", "think#1", "--no-run", "--file", "agent.py", *elsewhere).code == 0
    ran = desk.regrow("doctor", "--json", *elsewhere)
    assert (ran.json["problems"], ran.json["runs"]) == ([], 2)
    db = apsw.Connection(str(desk.folder / "elsewhere" / "journal.db"))
    db.execute("UPDATE runs SET key = 'wednesday' WHERE key = 'tuesday'")
    db.close()
    (key, project) = desk.regrow("doctor", "--json", *elsewhere).json["problems"]
    assert "its key is 'wednesday'" in key["text"]
    assert "its project is 'south'" in project["text"]


def test_a_blob_that_a_record_needs_is_missed_by_doctor_and_kept_by_gc_though_no_list_names_it(desk, spoil):
    desk.regrow("run", "agent.py", "agent", "--question", "q" * 100_000)
    run = desk.regrow("ls", "--json").json["runs"][0]["id"]
    blobs = list((desk.folder / ".regrow" / "blobs").glob("??/*"))
    for blob in blobs:
        os.utime(blob, (time.time() - 7200,) * 2)
    spoil("DELETE FROM blobs")
    ran = desk.regrow("doctor", "--json")
    assert ran.code == 1
    assert {problem["run"] for problem in ran.json["problems"]} == {run}
    assert all("needs blob" in problem["text"] for problem in ran.json["problems"])
    assert len(ran.json["problems"]) == len(blobs)
    gone = desk.regrow("gc", "--older-than", "30d", "--json")
    assert gone.json["blobs"] == 0
    assert f"stays: run {run} needs it" in gone.err
    assert list((desk.folder / ".regrow" / "blobs").glob("??/*")) == blobs
