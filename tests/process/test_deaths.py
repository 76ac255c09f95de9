"""Each way in which a worker can die, for real: what the failure says of it, and that nobody else is harmed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import msgspec
import pytest

import regrow
from regrow.authoring import home
from regrow.executors.process import ProcessExecutor
from regrow.remedies import Extend, GiveUp, Grow, Resume, RetryAfter, described
from regrow.testing import MemoryStore
from regrow.values.resources import Resources

from . import mortal
from .observed import can_hold, is_gone, wait_until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="what dies how is told of Linux here"),
    pytest.mark.promise("P6"),
]

MIB = 2**20


LIMIT = mortal.LIMIT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("deaths")


@pytest.fixture(autouse=True)
def one_working_directory(folder, regrow_home, monkeypatch):
    """Let all tests share one warm server, as a program's tasks do: it is chosen by its working directory too."""
    monkeypatch.chdir(folder)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture(scope="module")
def groups():
    """Stand for cgroups that limit memory; skips where there are none."""
    found = home.workers._here().groups
    if found is None or "memory" not in found.controllers:
        pytest.skip("this user may not make groups that limit memory here")
    return found


@pytest.fixture
def death(store, tmp_path):
    """Give a function that runs a task to its death beside a neighbour, and gives the failure.

    The neighbour is in a worker of its own, from before until after, and must come out as it went in. The driver is
    this very process: it must be able to go on, and to run the next worker.
    """

    async def run(task, args, meanwhile):
        begun, until = tmp_path / "neighbour-begun", tmp_path / "neighbour-until"
        beside = await regrow.start(mortal.neighbour, str(begun), str(until), store=store)
        await there(begun)
        dying = await regrow.start(task, *args, store=store)
        try:
            if meanwhile is not None:
                await meanwhile()
            with pytest.raises(BaseException) as caught:
                await dying.result()
        finally:
            until.touch()
        assert await beside.result() == (int(begun.read_text()), 4 * MIB)
        begun.unlink()
        until.unlink()
        return caught.value, dying

    def die(task, *args, meanwhile=None):
        failure, handle = asyncio.run(run(task, args, meanwhile))
        assert regrow.run(mortal.pid_of_worker, store=store) != os.getpid()
        assert handle.status == "failed"
        return failure

    return die


async def there(file):
    """Wait for a file."""
    limit = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < limit, f"{file.name} did not come to be"
        await asyncio.sleep(0.005)


def sends(number, file):
    """Give what sends a signal to the process whose id is in a file, once it is there."""

    async def send():
        await there(file)
        os.kill(int(file.read_text()), number)

    return send


def goes(pid):
    """Wait until a process is gone; it may take the kernel a moment to clear it away."""
    return wait_until(lambda: is_gone(pid))


def is_told_well(failure):
    """Check what every failure owes its reader: evidence, plain facts, ways out, and a text that needs no decoding."""
    assert failure.layer == "infrastructure"
    assert failure.confidence in {"certain", "likely", "unknown"}
    assert failure.evidence
    assert all(len(sentence) > 8 for sentence in failure.evidence)
    plain = msgspec.json.decode(msgspec.json.encode(failure.context))
    assert plain["failure"] == type(failure).__name__
    assert plain["path"] == failure.path
    assert plain["attempt"] == 1
    assert failure.remedies[-1] == GiveUp()
    told = failure.describe()
    assert str(failure) in told.splitlines()[0]
    assert all(sentence in told for sentence in failure.evidence)
    assert all(described(remedy) in told for remedy in failure.remedies)
    own_words = "\n".join(line for line in told.splitlines() if not line.startswith("- the worker reported"))
    assert not re.search(r"\d{6}|\.\d{4}", own_words), f"raw figures: {own_words}"
    return True


def evidence_of(failure, text):
    return any(text in sentence for sentence in failure.evidence)


def traceback_of(error):
    return "".join(traceback.format_exception(error))


def evidence_has(failure, text):
    return any(text in sentence for sentence in failure.evidence)


# -- of memory ---------------------------------------------------------------------------------------------------------


def test_ten_times_the_limit_at_once_is_refused_in_band_with_the_users_traceback_as_cause(death):
    failure = death(mortal.takes_at_once, 10 * LIMIT)

    assert type(failure) is regrow.OutOfMemory
    assert (failure.limit, failure.enforced_by, failure.confidence) == (LIMIT, "RLIMIT_DATA", "certain")
    assert failure.peak < LIMIT
    assert type(failure.__cause__) is MemoryError
    assert "return len(bytearray(size))" in traceback_of(failure.__cause__)
    assert failure.remedies[0] == Grow(memory=2 * LIMIT)
    assert is_told_well(failure)


def test_ten_times_the_limit_at_once_in_numpy_is_refused_in_band_too(death):
    failure = death(mortal.takes_in_numpy, 10 * LIMIT)

    assert type(failure) is regrow.OutOfMemory
    assert (failure.limit, failure.enforced_by, failure.confidence) == (LIMIT, "RLIMIT_DATA", "certain")
    assert "held = np.ones(size // 8)" in traceback_of(failure.__cause__)
    assert is_told_well(failure)


def test_an_array_of_numpys_a_little_past_the_limit_is_out_of_memory(death):
    failure = death(mortal.takes_in_numpy, LIMIT + LIMIT // 2)

    assert type(failure) is regrow.OutOfMemory
    assert (failure.limit, failure.confidence) == (LIMIT, "certain")
    assert failure.enforced_by in {"cgroup v1", "cgroup v2", "watchdog"}
    assert is_told_well(failure)


@pytest.mark.parametrize("task", [mortal.takes_slowly, mortal.takes_shared], ids=["private", "shared"])
def test_growing_slowly_past_the_limit_is_out_of_memory_in_private_and_in_shared_memory(death, task):
    failure = death(task, 10 * LIMIT)

    assert type(failure) is regrow.OutOfMemory
    assert (failure.limit, failure.confidence) == (LIMIT, "certain")
    assert LIMIT // 2 < failure.peak < 2 * LIMIT
    assert failure.growth > 0
    assert failure.facts["samples"]
    assert is_told_well(failure)


def test_a_grandchild_that_takes_too_much_is_the_tasks_out_of_memory(death):
    failure = death(mortal.takes_in_a_grandchild, 10 * LIMIT)

    assert type(failure) is regrow.OutOfMemory
    assert failure.limit == LIMIT
    assert failure.confidence in {"certain", "likely"}
    assert is_told_well(failure)


def test_a_memory_error_that_the_interpreter_raises_without_a_limit_is_likely_out_of_memory(death):
    failure = death(mortal.asks_for_more_than_there_is)

    assert type(failure) is regrow.OutOfMemory
    assert (failure.limit, failure.confidence, failure.enforced_by) == (None, "likely", "")
    assert "[0] * 2**60" in traceback_of(failure.__cause__)
    assert is_told_well(failure)


def test_a_memory_error_that_the_code_itself_raises_is_not_put_down_to_a_limit(death):
    failure = death(mortal.says_that_memory_is_out)

    assert type(failure) is regrow.OutOfMemory
    assert (failure.confidence, failure.enforced_by) == ("likely", "")
    assert failure.__cause__.args == ("so says the code",)
    assert is_told_well(failure)


# -- of time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    [mortal.spins, mortal.spins_deaf_to_sigterm, mortal.hangs_in_c_with_the_interpreter_locked],
    ids=["", "deaf to SIGTERM", "in C with the interpreter locked"],
)
def test_an_endless_loop_past_its_timeout_has_timed_out(death, task):
    failure = death(task)

    assert type(failure) is regrow.TimedOut
    assert (failure.limit, failure.scope, failure.confidence) == (0.2, "timeout", "certain")
    assert failure.remedies[0] == Extend(0.4)
    assert evidence_has(failure, "regrow itself ended it")
    assert is_told_well(failure)


def test_a_timeout_reaches_a_caller_that_waits_in_its_own_thread(store):
    with pytest.raises(regrow.TimedOut) as caught:
        regrow.run(mortal.spins, store=store)

    assert is_told_well(caught.value)


def test_a_task_past_its_timeout_still_runs_its_finally_blocks(death, tmp_path):
    failure = death(mortal.cleans_up_when_its_time_is_over, str(tmp_path / "cleaned-up"))

    assert type(failure) is regrow.TimedOut
    assert (tmp_path / "cleaned-up").exists()


# -- by its own hand ---------------------------------------------------------------------------------------------------


def test_leaving_with_an_exit_code_is_a_crash_with_that_code(death):
    failure = death(mortal.leaves, 3)

    assert type(failure) is regrow.Crashed
    assert (failure.code, failure.signal, failure.confidence) == (3, None, "certain")
    assert evidence_has(failure, "exit code 3")
    assert is_told_well(failure)


@pytest.mark.parametrize(("how", "code"), [("nothing", 0), ("number", 3), ("words", 1)])
def test_sys_exit_ends_the_worker_and_not_the_driver(death, how, code):
    failure = death(mortal.exits, how)

    assert type(failure) is regrow.Crashed
    assert (failure.code, failure.signal, failure.confidence) == (code, None, "certain")
    assert is_told_well(failure)


@pytest.mark.parametrize(
    ("task", "name"),
    [(mortal.follows_a_null_pointer, "SIGSEGV"), (mortal.aborts, "SIGABRT")],
    ids=["segfault", "abort"],
)
def test_a_signal_of_its_own_making_is_a_crash_with_that_signal(death, task, name):
    failure = death(task)

    assert type(failure) is regrow.Crashed
    assert (failure.code, failure.signal, failure.confidence) == (None, name, "certain")
    assert failure.remedies[0] == RetryAfter(0.0)
    assert evidence_has(failure, name)
    assert is_told_well(failure)


# -- by another's ------------------------------------------------------------------------------------------------------


def test_a_sigkill_from_outside_is_never_reported_as_oom(death, tmp_path):
    begun = tmp_path / "begun"
    failure = death(mortal.waits, str(begun), meanwhile=sends(signal.SIGKILL, begun))

    assert type(failure) is regrow.WorkerLost
    assert failure.signal == "SIGKILL"
    assert failure.remedies[0] == Resume()
    assert evidence_has(failure, "SIGKILL, which regrow had not sent")
    assert is_told_well(failure)


def test_a_sigkill_from_outside_is_not_oom_either_when_the_worker_was_large(death, tmp_path):
    begun = tmp_path / "begun"
    failure = death(mortal.waits_large, str(begun), meanwhile=sends(signal.SIGKILL, begun))

    assert type(failure) is regrow.WorkerLost
    assert failure.facts["peak"] > LIMIT // 2
    assert evidence_has(failure, "no OOM kill was counted")
    assert is_told_well(failure)


def test_a_worker_that_was_lost_begins_again_without_being_asked(store, tmp_path):
    begun = tmp_path / "begun"

    async def run():
        handle = await regrow.start(mortal.waits_once, str(begun), store=store)
        await sends(signal.SIGKILL, begun)()
        return await handle.result()

    assert asyncio.run(run()) == 2


def test_a_sigterm_from_outside_is_a_preemption_with_a_grace(death, tmp_path):
    begun = tmp_path / "begun"
    failure = death(mortal.waits, str(begun), meanwhile=sends(signal.SIGTERM, begun))

    assert type(failure) is regrow.Preempted
    assert failure.source == "SIGTERM"
    assert failure.grace > 0
    assert failure.remedies[0] == Resume()
    assert is_told_well(failure)


def test_a_worker_that_goes_with_its_server_is_lost_without_a_trace_and_the_next_one_has_a_new_server(store):
    with pytest.raises(regrow.WorkerLost) as caught:
        regrow.run(mortal.loses_its_server, store=store)

    assert (caught.value.signal, caught.value.confidence) == (None, "unknown")
    assert is_told_well(caught.value)
    assert regrow.run(mortal.pid_of_worker, store=store) != os.getpid()


@pytest.mark.parametrize("task", [mortal.saves_when_preempted, mortal.saves_when_cancelled], ids=["sync", "async"])
def test_a_preempted_task_saves_its_work_within_its_grace_and_goes_on_from_it(store, tmp_path, task):
    begun = tmp_path / "begun"

    async def run():
        handle = await regrow.start(task, str(begun), store=store)
        await sends(signal.SIGTERM, begun)()
        return await handle.result()

    attempt, done = asyncio.run(run())
    assert attempt == 2
    assert done >= 20


# -- of room -----------------------------------------------------------------------------------------------------------


def test_one_file_past_the_disk_limit_is_refused_in_band(death):
    failure = death(mortal.fills_the_disk_with_one_file, 64 * MIB)

    assert type(failure) is regrow.DiskFull
    assert (failure.limit, failure.enforced_by, failure.confidence) == (8 * MIB, "RLIMIT_FSIZE", "certain")
    assert "file.write(" in traceback_of(failure.__cause__)
    assert failure.remedies[0] == Grow(disk=16 * MIB)
    assert is_told_well(failure)


def test_many_small_files_past_the_disk_limit_are_a_full_disk(death):
    failure = death(mortal.fills_the_disk_with_many_files, 512 * MIB)

    assert type(failure) is regrow.DiskFull
    assert (failure.limit, failure.enforced_by, failure.confidence) == (8 * MIB, "watchdog", "certain")
    assert failure.used > 8 * MIB
    assert is_told_well(failure)


def test_a_disk_that_is_full_is_nobodys_limit(death):
    failure = death(mortal.writes_to_a_full_disk)

    assert type(failure) is regrow.DiskFull
    assert (failure.limit, failure.enforced_by, failure.confidence) == (None, "", "certain")
    assert "file.write(" in traceback_of(failure.__cause__)
    assert is_told_well(failure)


def test_a_hundred_megabytes_of_stdout_are_past_the_output_limit(death, capfd):
    failure = death(mortal.prints, 100 * 10**6)

    assert type(failure) is regrow.OutputLimit
    assert (failure.limit, failure.confidence) == (64 * MIB, "certain")
    assert failure.remedies[0] == Grow(output=128 * MIB)
    assert len(capfd.readouterr().err) < 8 * MIB
    assert is_told_well(failure)


# -- of company --------------------------------------------------------------------------------------------------------


def test_two_hundred_processes_are_past_the_process_limit_and_all_of_them_are_gone(death, tmp_path):
    pids = tmp_path / "pids"
    failure = death(mortal.forks, 200, str(pids))

    assert type(failure) is regrow.ProcessLimit
    assert failure.limit == 128
    assert failure.confidence in {"certain", "likely"}
    assert failure.remedies[0] == Grow(processes=256)
    assert is_told_well(failure)
    assert all(goes(int(pid)) for pid in pids.read_text().split())


def test_a_thread_left_running_does_not_keep_the_worker_or_its_result(store):
    pid = regrow.run(mortal.leaves_a_thread_running, store=store)

    assert goes(pid)


def test_daemons_that_got_away_are_gone_when_their_task_is(store, tmp_path):
    assert leaves_no_daemon(store, tmp_path)


def leaves_no_daemon(store, folder):
    files = [folder / "first", folder / "second"]
    regrow.run(mortal.leaves_daemons, *map(str, files), store=store)
    return all(goes(int(file.read_text())) for file in files)


# -- of what it says ---------------------------------------------------------------------------------------------------


def test_a_result_that_cannot_be_encoded_is_not_storable_and_names_its_place(death):
    failure = death(mortal.gives_a_lock)

    assert type(failure) is regrow.NotStorable
    assert "held" in failure.where


def test_an_exception_with_a_constructor_of_its_own_comes_out_as_it_was_raised(death):
    failure = death(mortal.raises_a_rich_exception)

    assert type(failure) is mortal.Rich
    assert (failure.args, failure.code, failure.hint) == (("code 7",), 7, "eight")
    assert failure.__notes__ == ["a note of the worker's"]
    assert type(failure.__cause__) is ValueError
    assert "raise error from problem" in traceback_of(failure)
    assert 'int("seven")' in traceback_of(failure)


def test_an_exception_whose_class_a_script_defines_is_caught_as_that_class(program):
    script = program("""
        class Mine(Exception):
            pass

        @regrow.task(isolate=True)
        def raises():
            raise Mine("of the script's own")

        @regrow.task
        def agent():
            try:
                raises()
            except Mine as error:
                return [type(error).__module__, *error.args]

        if __name__ == "__main__":
            print(*regrow.run(agent), sep="|")
    """)

    ended = script.run()

    assert (ended.out, ended.err) == ("__main__|of the script's own\n", "")


def test_a_module_that_ends_the_process_that_loads_it_is_named_with_what_it_said(program):
    script = program("""
        if __name__ != "__main__":
            print("no licence", file=sys.stderr, flush=True)
            os._exit(7)

        @regrow.task(isolate=True)
        def never():
            pass

        if __name__ == "__main__":
            try:
                regrow.run(never)
            except ImportError as error:
                print(error)
    """)

    ended = script.run()

    assert "ended its process with status 7" in ended.out, ended.err
    assert "no licence" in ended.out


# -- the layers, one at a time -----------------------------------------------------------------------------------------


@pytest.fixture
def without_groups():
    """Let this test's workers have no cgroups, as those of a normal user."""
    executor = ProcessExecutor("regrow.authoring.outpost", lambda: None)
    with home.use_executor(executor):
        yield
    executor.close()


@pytest.mark.usefixtures("without_groups")
@pytest.mark.parametrize(
    "task",
    [mortal.takes_slowly, mortal.takes_shared, mortal.takes_in_a_grandchild],
    ids=["private", "shared", "in a grandchild"],
)
def test_the_watchdog_alone_ends_a_worker_above_its_memory_limit(death, task):
    failure = death(task, 10 * LIMIT)

    assert type(failure) is regrow.OutOfMemory
    assert (failure.limit, failure.enforced_by, failure.confidence) == (LIMIT, "watchdog", "certain")
    assert LIMIT < failure.peak < 5 * LIMIT
    assert evidence_has(failure, "it was above its memory limit")
    assert is_told_well(failure)


@pytest.mark.usefixtures("without_groups")
def test_the_data_limit_alone_refuses_what_is_far_too_large(death):
    failure = death(mortal.takes_at_once, 10 * LIMIT)

    assert type(failure) is regrow.OutOfMemory
    assert (failure.enforced_by, failure.facts["enforced_by"]) == ("RLIMIT_DATA", "watchdog, RLIMIT_DATA")
    assert "return len(bytearray(size))" in traceback_of(failure.__cause__)


@pytest.mark.usefixtures("without_groups")
def test_without_groups_a_sigkill_from_outside_is_still_no_oom(death, tmp_path):
    begun = tmp_path / "begun"
    failure = death(mortal.waits, str(begun), meanwhile=sends(signal.SIGKILL, begun))

    assert type(failure) is regrow.WorkerLost
    assert is_told_well(failure)


@pytest.mark.usefixtures("without_groups")
def test_without_groups_daemons_that_got_away_are_gone_too(store, tmp_path):
    assert leaves_no_daemon(store, tmp_path)


@pytest.mark.skipif(not can_hold(), reason="no worker can be held at its limit here")
def test_a_system_call_that_is_refused_memory_while_the_worker_could_be_held_leads_to_more_memory(store, tmp_path):
    (tmp_path / "large").write_bytes(b"\x07" * (2 * LIMIT))

    assert regrow.run(mortal.reads_a_file_past_the_limit, str(tmp_path / "large"), store=store) == 2 * LIMIT


def test_a_container_near_its_limit_ends_a_worker_and_not_the_driver(program, container):
    script = program("""
        @regrow.task(isolate=True)
        def grows():
            held = []
            while True:
                held.append(b"\x07" * (8 << 20))
                time.sleep(0.005)

        @regrow.task
        def agent():
            try:
                grows()
            except regrow.OutOfMemory as failure:
                return [failure.limit, failure.enforced_by, failure.confidence, failure.evidence[0]]

        if __name__ == "__main__":
            wait_for_file("go")
            print(*regrow.run(agent), sep="|")
    """)
    process = script.start()
    container(process.pid, 400 * MIB)
    script.touch("go")

    ended = script.finish(process)

    assert ended.returncode == 0, ended.err
    assert ended.out == (
        "None|watchdog|certain|"
        "regrow itself ended it: the machine, or the container around it, was about to run out of memory\n"
    )


@pytest.fixture
def container(groups):
    """Give a function that puts a process into a group with a memory limit, as a container runtime would."""
    made = []

    def put(pid, memory):
        group = groups.create(f"container-{len(made)}", Resources(memory=memory), hold=False)
        made.append(group)
        group.add(pid)

    yield put
    for group in made:
        group.close()


# -- with the driver ---------------------------------------------------------------------------------------------------

_LEAVES_NOTHING = """
    import subprocess

    @regrow.task(memory="256Mi")
    def spreads():
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                effect(f"daemon {os.getpid()}")
                time.sleep(1000)
            os._exit(0)
        child = subprocess.Popen(["sleep", "1000"])
        effect(f"child {child.pid}")
        effect(f"server {os.getppid()}")
        effect(f"worker {os.getpid()}")
        time.sleep(1000)

    @regrow.task(isolate=True)
    def short():
        pass

    if __name__ == "__main__":
        regrow.run(spreads if sys.argv[1] == "spread" else short)
"""


def test_a_driver_that_is_killed_takes_its_workers_and_all_that_they_have_started_with_it(program):
    script = program(_LEAVES_NOTHING)
    process = script.start("spread")
    script.wait_until(lambda: len(script.ledger()) == 4)
    pids = {name: int(pid) for name, pid in (line.split() for line in script.ledger())}

    process.kill()

    assert pids.keys() == {"daemon", "child", "server", "worker"}
    assert all(goes(pid) for pid in pids.values())


def test_groups_that_a_killed_driver_has_left_are_swept_by_the_next_one(program, groups):
    script = program(_LEAVES_NOTHING)
    process = script.start("spread")
    script.wait_until(lambda: len(script.ledger()) == 4)
    process.kill()
    process.wait()
    assert groups_of(process.pid, groups)

    assert script.run("short").returncode == 0

    assert groups_of(process.pid, groups) == []


def test_scratch_folders_that_a_killed_driver_has_left_are_swept_by_the_next_one(program):
    script = program(_LEAVES_NOTHING)
    place = script.folder / "tmp"
    place.mkdir()
    process = script.start("spread", TMPDIR=str(place))
    script.wait_until(lambda: len(script.ledger()) == 4)
    process.kill()
    process.wait()
    assert [entry.name for entry in place.iterdir() if f"-{process.pid}-" in entry.name]

    assert script.run("short", TMPDIR=str(place)).returncode == 0

    assert list(place.iterdir()) == []


def groups_of(pid, host):
    return [entry.name for entry in host.place.iterdir() if entry.name.startswith(f"regrow-{pid}-")]


# -- as a normal user --------------------------------------------------------------------------------------------------

_TO_NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
    # The right to read, and no other: this Python may lie in a folder that is closed to others.
    "--bounding-set=-all,+dac_read_search", "--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip
_AS_NOBODY = """
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import mortal

    @regrow.task
    def agent():
        told = []
        for task in (mortal.takes_at_once, mortal.takes_slowly, mortal.takes_shared):
            try:
                task(10 * mortal.LIMIT)
            except regrow.OutOfMemory as failure:
                told.append(f"{failure.enforced_by} {failure.confidence} {failure.facts['enforced_by']}")
        return told

    if __name__ == "__main__":
        print(os.getuid(), *regrow.run(agent), sep="|")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user; the tests above are a user's already")
@pytest.mark.skipif(
    shutil.which("setpriv") is None, reason="there is no setpriv here, with which to become another user"
)
def test_the_memory_limit_of_a_normal_user_bites_too(program, open_folder):
    script = program(_AS_NOBODY)
    shutil.copy(mortal.__file__, script.folder)
    place = open_folder(script.folder)

    ended = subprocess.run(
        [*_TO_NOBODY, sys.executable, place / "program.py"],
        cwd=place,
        env=os.environ | {"REGROW_HOME": str(place / "home"), "HOME": str(place), "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    uid, at_once, slowly, shared = ended.stdout.strip().split("|")
    assert uid == "65534"
    assert at_once == "RLIMIT_DATA certain watchdog, RLIMIT_DATA"
    assert slowly == shared == "watchdog certain watchdog, RLIMIT_DATA"


@pytest.fixture
def open_folder():
    """Give a function that copies a folder to where any user may write."""
    made = []

    def copy(folder):
        place = Path(tempfile.mkdtemp(prefix="regrow-nobody-"))
        made.append(place)
        shutil.copytree(folder, place, dirs_exist_ok=True)
        place.chmod(0o777)
        return place

    yield copy
    for place in made:
        shutil.rmtree(place)
