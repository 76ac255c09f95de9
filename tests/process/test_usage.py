"""What real processes take, as their meters see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from regrow.executors.limits import usage
from regrow.executors.limits.usage import (
    ProcMeter,
    PsutilMeter,
    data_of,
    meter,
    peak_of,
    reset_peak,
    scratch_size,
    tree,
)

pytestmark = pytest.mark.promise("P6")

MB = 1_000_000
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# A process that executes what it is told, line by line, and says when it has done so.
_OBEDIENT = """
import mmap, os, signal, sys, threading, time

def fork(code, *, then="stay"):
    '''Fork a child that executes `code`, and come back when it has.'''
    heard, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        exec(code, globals())
        os.write(says, b".")
        while then == "stay":
            time.sleep(60)
        os._exit(0)
    os.read(heard, 1)
    return pid

for line in sys.stdin:
    exec(eval(line), globals())
    print("done", flush=True)
"""


class Child:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-W", "ignore", "-c", _OBEDIENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.does("pass")

    def does(self, code):
        self.process.stdin.write(f"{textwrap.dedent(code)!r}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self):
        if self.process.returncode is None:  # not waited for yet, so its group is certainly its own
            os.killpg(self.pid, signal.SIGKILL)
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def child():
    made = Child()
    yield made
    made.end()


@pytest.fixture(params=[pytest.param(ProcMeter, marks=needs_proc), PsutilMeter], ids=["proc", "psutil"])
def metered(request):
    if request.param is PsutilMeter:
        pytest.importorskip("psutil", reason="psutil is not installed, so its meter is not tested")
    return request.param


def about(amount, *, within=0.06):
    return pytest.approx(amount, rel=within)


# --------------------------------------------------------------------------------------------------- one process


def test_an_allocation_shows_as_what_it_is(child, metered):
    of_child = metered(child.pid)
    child.does("held = b'x' * 100_000_000")
    assert of_child.read().memory == about(100 * MB)


def test_what_a_worker_had_before_is_not_counted(child, metered):
    child.does("before = b'x' * 100_000_000")
    of_child = metered(child.pid)
    child.does("more = b'x' * 50_000_000")
    assert of_child.read().memory == about(50 * MB)


def test_a_worker_that_gives_back_more_than_it_took_has_nothing(child, metered):
    child.does("before = b'x' * 100_000_000")
    of_child = metered(child.pid)
    child.does("del before")
    assert of_child.read().memory == 0


def test_shared_memory_counts(child, metered):
    of_child = metered(child.pid)
    child.does("shared = mmap.mmap(-1, 100_000_000); shared.write(bytes(100_000_000))")
    assert of_child.read().memory == about(100 * MB)


def test_memory_that_was_asked_for_and_never_touched_does_not_count(child, metered):
    of_child = metered(child.pid)
    child.does("untouched = mmap.mmap(-1, 1_000_000_000)")
    assert of_child.read().memory < 5 * MB


@needs_proc
def test_a_mapped_file_does_not_count(child, tmp_path):
    file = tmp_path / "data"
    file.write_bytes(bytes(50 * MB))
    of_child = meter(child.pid)
    child.does(f"""
        with open({str(file)!r}, "rb") as data:
            mapped = mmap.mmap(data.fileno(), 0, prot=mmap.PROT_READ)
        assert sum(mapped[::4096]) == 0
    """)
    assert of_child.read().memory < 5 * MB


def test_threads_and_processes_are_counted(child, metered):
    of_child = metered(child.pid)
    assert (of_child.read().processes, of_child.read().threads) == (1, 1)
    child.does("""
        for _ in range(3):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        fork("fork('pass')")
    """)
    found = of_child.read()
    assert (found.processes, found.threads) == (3, 6)


def test_processor_time_is_that_of_the_whole_tree(child, metered):
    burn = "while time.process_time() < {}: pass"
    of_child = metered(child.pid)
    child.does(burn.format(0.3))
    alone = of_child.read().cpu_seconds
    assert alone >= 0.28
    child.does(f"fork({burn.format(0.3)!r})")
    assert of_child.read().cpu_seconds >= alone + 0.28


@needs_proc
def test_processor_time_of_a_child_that_was_waited_for_stays(child):
    of_child = meter(child.pid)
    child.does("os.waitpid(fork('while time.process_time() < 0.3: pass', then='exit'), 0)")
    found = of_child.read()
    assert found.processes == 1
    assert found.cpu_seconds >= 0.28


# ------------------------------------------------------------------------------------------------ several processes


def test_what_a_forked_tree_shares_is_not_counted_double(child, metered):
    of_child = metered(child.pid)
    child.does("""
        held = b'x' * 100_000_000
        for _ in range(4):
            fork("pass")
    """)
    found = of_child.read()
    assert found.processes == 5
    assert found.memory == about(100 * MB, within=0.15)


def test_what_its_children_take_alone_counts(child, metered):
    of_child = metered(child.pid)
    child.does("""
        for _ in range(3):
            fork("held = b'x' * 30_000_000")
    """)
    assert of_child.read().memory == about(90 * MB, within=0.15)


@needs_proc
def test_shared_memory_that_a_whole_tree_has_mapped_is_counted_once(child):
    of_child = meter(child.pid)
    child.does("""
        shared = mmap.mmap(-1, 100_000_000)
        shared.write(bytes(100_000_000))
        for _ in range(2):
            fork("assert sum(shared[::4096]) == 0")
    """)
    assert of_child.read().memory == about(100 * MB, within=0.15)


@needs_proc
def test_the_baseline_of_a_tree_is_taken_off_though_its_pages_are_shared_with_the_warm_server(child):
    child.does("""
        warm = b'x' * 100_000_000
        heard, says = os.pipe()
        goes, go = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.read(goes, 1)
            held = b'x' * 50_000_000
            for _ in range(3):
                fork("pass")
            os.write(says, b".")
            time.sleep(60)
    """)
    [worker] = set(tree(child.pid)) - {child.pid}
    of_worker = meter(worker)
    child.does("os.write(go, b'.'); os.read(heard, 1)")
    found = of_worker.read()
    assert found.processes == 4
    assert found.memory == about(50 * MB, within=0.2)


@needs_proc
def test_the_dear_reading_is_left_out_below_what_the_caller_says(child, monkeypatch):
    of_child = meter(child.pid)
    child.does("held = b'x' * 40_000_000; fork('pass'); fork('pass')")
    assert of_child.read(exact_above=100 * MB).memory == about(40 * MB, within=0.2)
    assert of_child.read(exact_above=300 * MB).memory > 110 * MB
    monkeypatch.setattr(of_child, "_proportional", lambda sizes: pytest.fail("asked for"))
    of_child.read(exact_above=300 * MB)


@needs_proc
def test_where_the_kernel_gives_no_proportional_size_the_plain_sum_is_taken(child, monkeypatch):
    of_child = meter(child.pid)
    child.does("held = b'x' * 40_000_000; fork('pass')")
    slurp = usage._slurp
    monkeypatch.setattr(usage, "_slurp", lambda path: b"" if path.endswith("rollup") else slurp(path))
    assert of_child.read().memory > 75 * MB


# --------------------------------------------------------------------------------------------------- going away


def test_a_worker_that_is_gone_has_no_usage(child, metered):
    of_child = metered(child.pid)
    assert of_child.read() is not None
    child.process.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert of_child.read() is None  # a zombie: nobody has waited for it
    child.process.wait()
    assert of_child.read() is None


def test_a_worker_that_was_gone_before_its_meter_was_made_has_no_usage(metered):
    process = subprocess.Popen([sys.executable, "-I", "-c", ""])
    process.wait()
    assert metered(process.pid).read() is None


@needs_proc
def test_another_process_under_the_same_number_is_not_the_worker(child):
    of_child = ProcMeter(child.pid)
    of_child._born = b"1"  # as if this number had belonged to an older process
    assert of_child.read() is None


def test_children_that_come_and_go_while_they_are_read_disturb_nothing(child, metered):
    of_child = metered(child.pid)
    child.does("""
        def churn():
            while True:
                os.waitpid(fork("held = b'x' * 1_000_000", then="exit"), 0)
        threading.Thread(target=churn, daemon=True).start()
    """)
    found = [of_child.read() for _ in range(200)]
    assert all(each is not None and each.processes >= 1 for each in found)
    assert max(each.memory for each in found) < 50 * MB


@needs_proc
@pytest.mark.parametrize("vanishes", ["stat", "status", "smaps_rollup"])
def test_a_child_that_exits_between_two_files_of_it_is_left_out(child, monkeypatch, vanishes):
    of_child = meter(child.pid)
    child.does("held = b'x' * 40_000_000; other = fork('pass')")
    [other] = set(tree(child.pid)) - {child.pid}
    slurp = usage._slurp

    def slurp_and_kill(path):
        if path == f"/proc/{other}/{vanishes}":
            child.does("os.kill(other, signal.SIGKILL); os.waitpid(other, 0)")
            monkeypatch.setattr(usage, "_slurp", slurp)
        return usage._slurp(path) if usage._slurp is slurp else slurp(path)

    monkeypatch.setattr(usage, "_slurp", slurp_and_kill)
    assert 30 * MB < of_child.read().memory < 90 * MB  # by the last file both have been added up already
    assert of_child.read().processes == 1


# ---------------------------------------------------------------------------------------------------------- the tree


def test_the_tree_has_children_of_threads_and_their_children(child):
    if sys.platform != "linux":
        pytest.importorskip("psutil", reason="psutil is not installed")
    child.does("""
        forked = threading.Event()
        def fork_and_stay():
            fork("fork('pass')")
            forked.set()
            threading.Event().wait()
        threading.Thread(target=fork_and_stay, daemon=True).start()
        forked.wait()
        fork("pass")
    """)
    assert tree(child.pid)[0] == child.pid
    assert len(set(tree(child.pid))) == 4


@needs_proc
def test_where_the_kernel_lists_no_children_parents_are_asked_for(child, monkeypatch):
    child.does("fork('fork(\"pass\")'); fork('pass')")
    listed = tree(child.pid)
    monkeypatch.setattr(usage, "_lists_children", lambda: False)
    monkeypatch.setattr(usage, "_children", lambda pid: pytest.fail("the list was asked for"))
    assert sorted(tree(child.pid)) == sorted(listed)
    assert len(listed) == 4


@needs_proc
@pytest.mark.parametrize("listed", [True, False])
def test_a_process_that_is_gone_has_no_tree(monkeypatch, listed):
    process = subprocess.Popen([sys.executable, "-I", "-c", ""])
    process.wait()
    monkeypatch.setattr(usage, "_lists_children", lambda: listed)
    assert tree(process.pid) == []


# ---------------------------------------------------------------------------------------------------------- peaks


@needs_proc
def test_a_peak_is_kept_when_the_memory_is_given_back_and_forgotten_at_a_reset(child):
    baseline = peak_of(child.pid)
    child.does("held = b'x' * 100_000_000; del held")
    assert peak_of(child.pid, above=baseline) == about(100 * MB)
    if not reset_peak(child.pid):
        pytest.skip("this host does not permit to reset a peak")
    assert peak_of(child.pid, above=baseline) < 20 * MB
    assert peak_of(child.pid, above=10**12) == 0


@needs_proc
def test_a_forked_child_does_not_have_the_peak_of_its_parent(child):
    child.does("held = b'x' * 100_000_000; del held; fork('pass')")
    [other] = set(tree(child.pid)) - {child.pid}
    assert peak_of(child.pid) > 100 * MB
    assert peak_of(other) < 50 * MB


@needs_proc
def test_data_are_private_writable_mappings_touched_or_not(child):
    before = data_of(child.pid)
    child.does("""
        shared = mmap.mmap(-1, 50_000_000)
        private = mmap.mmap(-1, 100_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    """)
    assert data_of(child.pid) - before == about(100 * MB)


def test_a_process_that_is_gone_has_neither_peak_nor_data():
    process = subprocess.Popen([sys.executable, "-I", "-c", ""])
    process.wait()
    assert peak_of(process.pid) is None
    assert data_of(process.pid) is None
    assert reset_peak(process.pid) is False


# -------------------------------------------------------------------------------------------------------- scratch


def written(file, amount):
    with file.open("wb") as handle:
        handle.write(os.urandom(amount))
        os.fsync(handle.fileno())  # some file systems allocate late


def test_scratch_is_what_is_really_allocated(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    written(tmp_path / "deep" / "er" / "file", MB)
    before = scratch_size(tmp_path)
    assert before == about(MB)
    os.link(tmp_path / "deep" / "er" / "file", tmp_path / "again")
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    with (tmp_path / "hole").open("wb") as handle:
        handle.truncate(1000 * MB)
    assert scratch_size(tmp_path) == pytest.approx(before, abs=64 * 1024)


def test_scratch_that_is_not_there_is_nothing(tmp_path):
    assert scratch_size(tmp_path / "none") == 0


def test_files_that_vanish_while_scratch_is_measured_disturb_nothing(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    for name in ("a", "folder/b", "c"):
        written(tmp_path / name, 100_000)
    entries = usage._entries

    def vanishing(folder):
        for entry in list(entries(folder)):
            if entry.name == "a":
                Path(entry.path).unlink()
            if entry.name == "folder":
                (tmp_path / "folder" / "b").unlink()
                (tmp_path / "folder").rmdir()
            yield entry

    monkeypatch.setattr(usage, "_entries", vanishing)
    assert 100_000 <= scratch_size(tmp_path) < 200_000
