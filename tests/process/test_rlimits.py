"""Limits that a process puts on itself: refused in band, and nothing else happens."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from regrow.executors.limits import rlimits

pytestmark = pytest.mark.promise("P6")

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces RLIMIT_DATA")

_PRELUDE = """
import errno, mmap, os, resource, signal, sys, threading, time
from regrow.executors.limits import rlimits
from regrow.executors.limits.rlimits import allowance, apply, raise_data_limit
from regrow.values.resources import Resources

MIB = 2**20

def in_child(code):
    '''Run code in a forked child, and tell how it ended.'''
    pid = os.fork()
    if pid == 0:
        try:
            exec(code, globals())
        except BaseException as error:
            print("raised", type(error).__name__, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def takes(amount):
    try:
        bytearray(amount)
    except MemoryError:
        return False
    return True
"""


@pytest.fixture
def says(tmp_path):
    def run(code, **environment):
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _PRELUDE + textwrap.dedent(code)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | environment,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.split()

    return run


@needs_linux
def test_allocating_past_the_limit_raises_memory_error_where_it_was_asked_for_and_nothing_else_happens(says):
    said = says("""
        assert apply(Resources(memory=64 * MIB), data_limit=64 * MIB) == ("RLIMIT_DATA",)
        room = 64 * MIB + allowance(1)
        assert takes(60 * MIB)
        try:
            line_that_asked = bytearray(room + MIB)
        except MemoryError as error:
            print("refused", error.__traceback__.tb_frame.f_code.co_name)
        assert takes(60 * MIB)
        try:
            mmap.mmap(-1, room + MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            print(errno.errorcode[error.errno])
        print("alive")
    """)
    assert said == ["refused", "<module>", "ENOMEM", "alive"]


@needs_linux
def test_slow_growth_is_refused_too(says):
    said = says("""
        apply(Resources(), data_limit=16 * MIB)
        held = []
        try:
            while True:
                held.append(bytearray(MIB))
        except MemoryError:
            taken = len(held)
            held.clear()
        print(abs(taken * MIB - 16 * MIB - allowance(1)) < 8 * MIB)
    """)
    assert said == ["True"]


@needs_linux
def test_a_process_that_was_refused_can_have_the_limit_lifted_to_report_it(says):
    said = says("""
        apply(Resources(), data_limit=MIB)
        amount = allowance(1) + 64 * MIB
        print(takes(amount))
        rlimits.lift()
        print(takes(amount))
    """)
    assert said == ["False", "True"]


@needs_linux
def test_what_the_process_had_before_is_not_charged(says):
    said = says("""
        warm = bytearray(400 * MIB)
        apply(Resources(), data_limit=64 * MIB)
        print(takes(60 * MIB), takes(64 * MIB + allowance(1) + MIB))
    """)
    assert said == ["True", "False"]


@needs_linux
def test_shared_mappings_are_left_to_other_layers(says):
    said = says("""
        apply(Resources(), data_limit=MIB)
        print(len(mmap.mmap(-1, allowance(1) + 100 * MIB)) > 0)
    """)
    assert said == ["True"]


@needs_linux
def test_a_parent_and_its_other_children_are_not_limited(says):
    said = says("""
        limited = "apply(Resources(), data_limit=MIB); bytearray(800 * MIB)"
        print(in_child(limited), in_child("bytearray(800 * MIB)"), takes(800 * MIB))
    """)
    assert said == ["raised", "MemoryError", "1", "0", "True"]


@needs_linux
def test_a_small_limit_leaves_the_default_pool_of_threads_room(says):
    said = says("""
        import concurrent.futures
        apply(Resources(), data_limit=MIB)
        threads = min(32, (os.cpu_count() or 1) + 4)
        everybody = threading.Barrier(threads)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            print(len(list(pool.map(lambda _: everybody.wait(), range(threads)))) == threads)
    """)
    assert said == ["True"]


@pytest.mark.control
@needs_linux
def test_without_the_allowance_a_small_limit_would_not_even_leave_room_for_a_thread(says):
    said = says("""
        rlimits.allowance = lambda cpu: 0
        apply(Resources(), data_limit=4 * MIB)
        try:
            threading.Thread(target=print, args=("ran",)).start()
        except RuntimeError as error:
            print(error)
    """)
    assert said == ["can't", "start", "new", "thread"]


@needs_linux
@pytest.mark.parametrize("cpu", [1, 2])
def test_a_small_limit_leaves_a_numeric_library_room(says, cpu):
    pytest.importorskip("numpy", reason="numpy is not installed")
    code = f"""
        apply(Resources(cpu={cpu}), data_limit=8 * MIB)
        import numpy
        ones = numpy.ones((300, 300))
        print(int((ones @ ones)[0, 0]))
    """
    assert says(code, OPENBLAS_NUM_THREADS=str(cpu)) == ["300"]


@needs_linux
def test_a_limit_is_raised_while_the_process_runs_also_by_one_without_privileges(says):
    said = says("""
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        heard, says = os.pipe()
        goes, go = os.pipe()
        pid = os.fork()
        if pid == 0:
            apply(Resources(), data_limit=16 * MIB)
            amount = 16 * MIB + allowance(1) + 32 * MIB
            print("before", takes(amount), flush=True)
            os.write(says, b".")
            os.read(goes, 1)
            print("after", takes(amount), takes(amount + 64 * MIB), flush=True)
            os._exit(0)
        os.read(heard, 1)
        print(raise_data_limit(pid, 64 * MIB), flush=True)
        os.write(go, b".")
        os.waitpid(pid, 0)
        print("gone", raise_data_limit(pid, 64 * MIB))
    """)
    assert said == ["before", "False", "True", "after", "True", "False", "gone", "False"]


@needs_linux
def test_a_limit_is_raised_to_the_hard_limit_and_that_it_stops_there_is_said(says):
    said = says("""
        resource.setrlimit(resource.RLIMIT_DATA, (2**33, 2**33))
        resource.setrlimit(resource.RLIMIT_DATA, (2**32, 2**33))
        print(raise_data_limit(os.getpid(), MIB), raise_data_limit(os.getpid(), 2**34))
        print(resource.getrlimit(resource.RLIMIT_DATA) == (2**33, 2**33))
    """)
    assert said == ["True", "False", "True"]


@needs_linux
def test_where_there_is_no_limit_nothing_has_to_be_raised(says):
    said = says("""
        print(raise_data_limit(os.getpid(), MIB))
        print(resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY)
    """)
    assert said == ["True", "True"]


def test_a_limit_that_the_kernel_takes_and_does_not_enforce_is_not_claimed(says):
    said = says("""
        rlimits._lower = lambda which, wanted: None
        print(apply(Resources(), data_limit=MIB))
    """)
    assert said == ["()"]


def test_a_limit_on_data_is_not_claimed_where_the_present_size_is_not_known(says):
    said = says("""
        rlimits.data_of = lambda pid: None
        print(apply(Resources(), data_limit=MIB))
    """)
    assert said == ["()"]


def test_a_file_past_the_limit_is_refused_as_too_large_and_nothing_else_happens(says):
    said = says("""
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # it would kill
        print(*apply(Resources(disk=MIB), data_limit=None))
        handle = os.open("file", os.O_WRONLY | os.O_CREAT)
        assert os.write(handle, bytes(MIB)) == MIB
        try:
            os.write(handle, b".")
        except OSError as error:
            print(errno.errorcode[error.errno], os.path.getsize("file") == MIB)
        with open("another", "wb") as another:
            print(another.write(b"alive"))
    """)
    assert said == ["RLIMIT_FSIZE", "EFBIG", "True", "5"]


def test_without_limits_none_is_claimed_and_no_core_is_ever_written(says):
    said = says("""
        before = resource.getrlimit(resource.RLIMIT_DATA), resource.getrlimit(resource.RLIMIT_FSIZE)
        print(len(apply(Resources(), data_limit=None)))
        print((resource.getrlimit(resource.RLIMIT_DATA), resource.getrlimit(resource.RLIMIT_FSIZE)) == before)
        print(*resource.getrlimit(resource.RLIMIT_CORE))
    """)
    assert said == ["0", "True", "0", "0"]


def test_a_stricter_limit_of_the_administrator_stays(says):
    said = says("""
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        apply(Resources(disk=MIB), data_limit=None)
        print(resource.getrlimit(resource.RLIMIT_FSIZE)[0])
    """)
    assert said == ["4096"]


@pytest.mark.parametrize(("cpu", "buffers"), [(0.5, 2), (1, 2), (1.5, 3), (4, 5)])
def test_the_allowance_grows_with_the_processors_that_a_numeric_library_is_told_to_use(monkeypatch, cpu, buffers):
    monkeypatch.setattr(rlimits.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(rlimits.resource, "getrlimit", lambda which: (8 * 2**20, -1))
    assert rlimits.allowance(cpu) == buffers * 32 * 2**20 + (buffers + 8) * (8 * 2**20 + 256 * 1024)
