"""Groups of the kernel, made for real. `test_cgroup2` runs these once more where version 2 is all there is."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import regrow
from regrow.executors.limits import cgroup_tree as tree
from regrow.executors.limits.cgroups import container_limit, detect
from regrow.values.resources import Resources

pytestmark = pytest.mark.promise("P6")

MIB = 2**20


@pytest.fixture(scope="module")
def host():
    found = detect()
    if found is None or "memory" not in found.controllers:
        pytest.skip("this user may not make groups that limit memory here")
    return found


@pytest.fixture
def group(host, request, start):
    """Give a function that makes a group. None of them is left, and nothing in them, before `start` cleans up."""
    made = []

    def make(*, hold=False, **resources):
        made.append(host.create(f"{request.node.name}-{len(made)}", Resources(**resources), hold=hold))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def start():
    """Give a function that starts a program, in a group from its first line on."""
    started = []

    def begin(source, *, inside=None):
        process = subprocess.Popen(
            [sys.executable, "-c", "import os, sys, time\ninput()\n" + textwrap.dedent(source)],
            env=os.environ | {"PYTHONPATH": str(Path(regrow.__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        if inside is not None:
            inside.add(process.pid)
        process.stdin.write("go\n")
        process.stdin.flush()
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def wait_until(condition, seconds=30.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to be in time"
        time.sleep(0.01)


def memory_folder(group):
    return group._memory if group.version == "cgroup v1" else group._folder


def wait_until_held(group, seconds=30.0):
    """Do what a driver does: sleep until there is news, then ask what it means."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if select.select([group.hold_fd()], [], [], 1.0)[0] and group.is_held():
            return
    pytest.fail("it was not held in time")


def test_what_allocates_past_its_limit_is_killed_and_the_kernel_has_counted_it(group, start):
    small = group(memory=64 * MIB)
    child = start("held = b'x' * (256 << 20)", inside=small)
    assert child.wait(30) == -signal.SIGKILL
    assert small.limits_memory
    assert not small.holds
    assert small.oom_kills() >= 1  # kernels that kill a whole group count the first of its processes twice
    assert (peak := small.peak()) is None or peak >= 60 * MIB


def test_a_sigkill_from_outside_is_not_counted_as_an_oom(group, start):
    roomy = group(memory=256 * MIB)
    child = start("print('in', flush=True); time.sleep(60)", inside=roomy)
    child.stdout.readline()
    child.kill()
    child.wait(30)
    assert roomy.oom_kills() == 0


def test_what_a_child_of_the_worker_allocates_counts_as_well(group, start):
    small = group(memory=64 * MIB)
    child = start(
        "import subprocess; print(subprocess.call([sys.executable, '-c', 'x = b\"x\" * (256 << 20)']))", inside=small
    )
    # The kernel takes the largest process, or with version 2 the whole group.
    assert child.communicate()[0].strip() in {"-9", ""}
    assert small.oom_kills() >= 1


def test_a_held_worker_goes_on_with_what_it_had_when_it_gets_more(group, start):
    small = group(memory=64 * MIB, hold=True)
    if not small.holds:
        pytest.skip("this kernel cannot hold a group")
    child = start(
        """
        first = b'a' * (32 << 20)
        second = b'b' * (64 << 20)
        third = b'c' * (128 << 20)
        print(first[-1:] + second[-1:] + third[-1:])
        """,
        inside=small,
    )
    wait_until_held(small)
    small.set_memory(128 * MIB)
    wait_until_held(small)
    assert child.poll() is None
    assert small.usage() > 112 * MIB
    small.set_memory(512 * MIB)
    assert child.communicate()[0] == "b'abc'\n"
    assert child.returncode == 0
    assert small.oom_kills() == 0
    assert not small.is_held()


def test_a_large_read_at_the_limit_is_held_or_fails_with_a_peak_that_tells_why(group, start, tmp_path):
    """Version 1 cannot make a system call wait. The worker then sees an error that does not speak of memory."""
    (tmp_path / "large").write_bytes(b"x" * (128 * MIB))
    small = group(memory=64 * MIB, hold=True)
    child = start(
        f"""
        with open({str(tmp_path / "large")!r}, "rb", buffering=0) as file:
            try:
                print(len(file.read()))
            except OSError as problem:
                os._exit(problem.errno)  # to print takes memory that there is not
        """,
        inside=small,
    )
    if small.version == "cgroup v2":
        wait_until_held(small)
        small.set_memory(512 * MIB)
        assert child.communicate()[0] == f"{128 * MIB}\n"
    elif small.holds:
        assert child.wait(30) in {errno.EFAULT, errno.ENOMEM}
        assert tree.is_at(64 * MIB, small.peak())
    assert small.oom_kills() == 0


def test_a_held_worker_can_be_killed(group, start):
    small = group(memory=64 * MIB, hold=True)
    if not small.holds:
        pytest.skip("this kernel cannot hold a group")
    child = start("held = b'x' * (256 << 20)", inside=small)
    wait_until_held(small)
    small.kill()
    assert child.wait(30) == -signal.SIGKILL
    assert small.pids() == []


def test_a_worker_below_its_limit_is_not_held_and_says_nothing(group, start):
    roomy = group(memory=256 * MIB, hold=True)
    child = start("held = b'x' * (64 << 20)", inside=roomy)
    assert child.wait(30) == 0
    assert not roomy.is_held()
    assert roomy.hold_fd() is None or select.select([roomy.hold_fd()], [], [], 0)[0] == []


def test_page_cache_neither_counts_as_use_nor_has_a_worker_held(group, start, tmp_path):
    small = group(memory=96 * MIB, hold=True)
    child = start(
        f"""
        with open({str(tmp_path / "large")!r}, "wb", buffering=0) as file:
            for _ in range(256):
                file.write(b"x" * (1 << 20))
            os.fsync(file.fileno())
            print("written", flush=True)
            time.sleep(60)  # some file systems drop the cache of a file that nobody has open
        """,
        inside=small,
    )
    assert child.stdout.readline() == "written\n"
    folder = memory_folder(small)
    charged = tree.number(folder / "memory.usage_in_bytes") or tree.number(folder / "memory.current")
    assert charged > 64 * MIB
    assert small.usage() < 32 * MIB
    assert not small.is_held()
    assert small.oom_kills() == 0


def test_shared_memory_counts_as_use(group, start):
    roomy = group(memory=256 * MIB)
    child = start(
        """
        import mmap
        shared = mmap.mmap(-1, 64 << 20)
        shared.write(b"x" * (64 << 20))
        print("written", flush=True)
        time.sleep(60)
        """,
        inside=roomy,
    )
    assert child.stdout.readline() == "written\n"
    assert roomy.usage() > 64 * MIB


def test_forks_beyond_the_limit_are_refused_and_counted(group, start):
    few = group(processes=1)
    if not few.limits_processes:
        pytest.skip("there is no controller for processes here")
    child = start(
        """
        started = 0
        try:
            for _ in range(50):
                if os.fork() == 0:
                    time.sleep(60)
                started += 1
        except BlockingIOError:
            print(started)
        """,
        inside=few,
    )
    assert int(child.stdout.readline()) < 8
    assert few.refused_forks() == 1


def test_kill_reaches_grandchildren_that_have_left_their_session(group, start):
    one = group()
    child = start(
        """
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.write(1, b"%d\\n" % os.getpid())
                    time.sleep(60)
                os._exit(0)
        time.sleep(60)
        """,
        inside=one,
    )
    grandchildren = [int(child.stdout.readline()) for _ in range(3)]
    assert set(grandchildren) < set(one.pids())
    one.kill()
    assert child.wait(30) == -signal.SIGKILL
    assert one.pids() == []


def test_what_a_worker_has_put_into_groups_of_its_own_is_found_and_killed(host, group, start):
    one = group(memory=256 * MIB)
    below = memory_folder(one) / "below"
    below.mkdir()
    child = start("time.sleep(60)")
    tree.write(below / "cgroup.procs", child.pid)
    assert child.pid in one.pids()
    one.close()
    assert child.wait(30) == -signal.SIGKILL
    assert not below.parent.exists()


def test_close_leaves_nothing_and_may_be_called_again(host, start):
    one = host.create("closing", Resources(memory=256 * MIB), hold=True)
    child = start("print('in', flush=True); time.sleep(60)", inside=one)
    child.stdout.readline()
    one.close()
    one.close()
    assert child.wait(30) == -signal.SIGKILL
    assert [folder for folder in host.place.iterdir() if folder.name.endswith("-closing")] == []
    assert (one.usage(), one.peak(), one.oom_kills(), one.refused_forks(), one.pids()) == (None, None, 0, 0, [])
    assert (one.hold_fd(), one.is_held(), one.cpu_seconds()) == (None, False, None)


def test_processor_time_is_counted(group, start):
    one = group(cpu=1)
    if one.cpu_seconds() is None:
        pytest.skip("processor time is not counted here")
    child = start("while time.process_time() < 0.3: pass", inside=one)
    assert child.wait(60) == 0
    assert one.cpu_seconds() > 0.2


def test_a_process_that_is_gone_cannot_be_added(group, start):
    one = group()
    child = start("")
    child.wait(30)
    with pytest.raises(ProcessLookupError):
        one.add(child.pid)


DRIVER = """
from regrow.executors.limits.cgroups import detect
from regrow.values.resources import Resources
import subprocess
group = detect().create("left", Resources(memory=256 << 20), hold=True)
worker = subprocess.Popen(["sleep", "60"])
group.add(worker.pid)
print(worker.pid, flush=True)
time.sleep(60)
"""


def groups_of(host, pid):
    return [folder for folder in host.place.iterdir() if folder.name.startswith(f"regrow-{pid}-")]


def test_sweep_ends_what_a_dead_driver_has_left(host, start):
    driver = start(DRIVER)
    worker = int(driver.stdout.readline())
    (left,) = groups_of(host, driver.pid)
    driver.kill()
    driver.wait()
    assert worker in tree.processes([left])
    assert host.sweep() >= 1
    assert groups_of(host, driver.pid) == []
    wait_until(lambda: not _is_running(worker))


def test_sweep_leaves_a_living_driver_alone(host, start):
    driver = start(DRIVER)
    worker = int(driver.stdout.readline())
    host.sweep()
    (kept,) = groups_of(host, driver.pid)
    assert tree.processes([kept]) == [worker]
    driver.kill()
    driver.wait()
    host.sweep()


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def test_the_limit_around_a_process_is_read(group, start):
    outer = group(memory=128 * MIB)
    script = "from regrow.executors.limits.cgroups import container_limit; print(container_limit())"
    assert start(script, inside=outer).communicate()[0] == f"{128 * MIB}\n"
    assert start(script).communicate()[0] == f"{container_limit()}\n"


def test_a_worker_can_be_a_driver_with_workers_in_groups_below_its_own(group, start):
    outer = group(memory=256 * MIB)
    child = start(
        """
        from regrow.executors.limits.cgroups import detect
        from regrow.values.resources import Resources
        import subprocess
        group = detect().create("inner", Resources(memory=64 << 20), hold=False)
        worker = subprocess.Popen([sys.executable, "-c", "input(); held = b'x' * (128 << 20)"], stdin=subprocess.PIPE)
        group.add(worker.pid)
        worker.communicate(b"go\\n")
        print(worker.returncode, group.oom_kills() > 0)
        group.close()
        """,
        inside=outer,
    )
    assert child.communicate()[0] == "-9 True\n"
    assert child.returncode == 0
