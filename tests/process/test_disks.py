"""Disks that are full, read-only or gone in the middle of a run, and then are well again.

One rule for all: what the code was told is recorded, the message says what to do, and after that the run goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import regrow

from .volatile_disk import Unmountable, make_file_system, mount, unmount

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="small disks are mounted as Linux does")

AGENT = """
    import shutil, subprocess, tempfile

    def once(name, act):
        '''Do something to the disk, the first time that a run comes here.'''
        if not os.path.exists(name):
            open(name, "x").close()
            act()

    def fill(place):
        with open(os.path.join(place, "ballast"), "ab", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    pass

    def crowd(place):
        try:
            for number in range(1000):
                open(os.path.join(place, f"ballast-{{number}}"), "x").close()
        except OSError:
            pass

    @regrow.step
    async def note(label: str, size: int = 10) -> bytes:
        effect(f"executed {{label}}")
        if label == "{at}":
            once("disturbed", lambda: {disturb})
        return label.encode().ljust(size, b".")

    @regrow.task(isolate=True)
    def train(label: str, size: int) -> bytes:
        effect(f"executed {{label}}")
        if label == "{at}":
            once("disturbed", lambda: {disturb})
        (regrow.current().scratch / "file").write_bytes(bytes(100))
        return label.encode().ljust(size, b".")

    async def acknowledged(label, call):
        result = await call
        effect(f"acknowledged {{label}}")
        return len(result)

    @regrow.task
    async def strand(number: int) -> int:
        found = 0
        for part in range(5):
            label = f"{{number}}.{{part}}"
            found += await acknowledged(label, note(label, {size}))
        return found + await acknowledged(f"{{number}}.train", train.aio(f"{{number}}.train", {size}))

    @regrow.task
    async def main() -> int:
        first = await acknowledged("first", note("first"))
        return first + sum(await asyncio.gather(*(strand(number) for number in range({strands}))))

    if __name__ == "__main__":
        print(regrow.run(main, key="run"))
"""

_TOLD = "acknowledged "


class Agent:
    """A program whose disk is disturbed in its middle, and what it must have done afterwards."""

    def __init__(self, program, disturb, *, at="0.2", size=10, strands=3):
        self.program = program(AGENT.format(disturb=disturb, at=at, size=size, strands=strands))
        self.result = f"{10 + strands * 6 * size}\n"
        self.program.home.mkdir()

    def stops(self, *texts, **environment):
        """Run it, and see it stop with a message of this error; give what its code had been told by then."""
        stopped = self.program.run(**environment)
        assert stopped.returncode == 1, (stopped.out, stopped.err)
        for text in texts:
            assert text in "".join(stopped.err.splitlines()[-3:]), stopped.err
        return self.told()

    def told(self):
        return {line.removeprefix(_TOLD) for line in self.program.ledger() if line.startswith(_TOLD)}

    def command(self, name, **environment):
        return subprocess.run(
            [sys.executable, "-m", "regrow", name, "@last"],
            cwd=self.program.folder,
            env=os.environ
            | {"PYTHONPATH": str(Path(regrow.__file__).parents[1]), "REGROW_HOME": str(self.program.home)}
            | environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def goes_on(self, name, told, **environment):
        """Go on with a command, and see that nothing was done again of what the code had been told."""
        before = self.program.ledger()
        gone_on = self.command(name, **environment)
        assert gone_on.returncode == 0, gone_on.stderr
        assert self.program.run(**environment).out == self.result
        again = self.program.ledger() - before
        assert told
        assert [label for label in told if again[f"executed {label}"]] == []
        self.program.records()  # with the chain and the invariants


@pytest.fixture
def small_disk():
    """Give a function that mounts a disk of a size at a folder."""
    mounted = []

    def make(place, size="2m", options=""):
        place.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", place], check=False, capture_output=True
        )
        if done.returncode:
            pytest.skip("only root can mount a small disk")
        mounted.append(place)

    yield make
    for place in mounted:
        unmount(place)


# -- full --------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P1", "P2")
@pytest.mark.parametrize("strands", [1, 4])
def test_a_full_disk_stops_every_strand_and_nothing_that_the_code_was_told_is_lost(program, small_disk, strands):
    agent = Agent(program, "fill('home')", size=2000, strands=strands)
    small_disk(agent.program.home)
    told = agent.stops("StoreUnavailable", "no room left", "make room, then resume")
    told |= agent.stops("StoreUnavailable", "no room left")
    (agent.program.home / "ballast").unlink()
    agent.goes_on("resume", told)


@pytest.mark.promise("P1", "P2")
@pytest.mark.parametrize("at", ["0.2", "0.train"], ids=["of a step", "of a worker"])
def test_a_run_whose_large_result_finds_no_room_stops_and_goes_on_with_room(program, small_disk, at):
    agent = Agent(program, "fill('home/blobs')", at=at, size=70_000)
    small_disk(agent.program.home / "blobs", "4m")
    told = agent.stops("StoreUnavailable", "No space left", "0 MiB free")
    told |= agent.stops("StoreUnavailable", "No space left")
    (agent.program.home / "blobs" / "ballast").unlink()
    agent.goes_on("resume", told)


@pytest.mark.promise("P2", "P6")
def test_a_worker_that_finds_no_room_to_work_is_a_full_disk_and_is_tried_again_with_room(program, small_disk, tmp_path):
    agent = Agent(program, "fill(regrow.current().scratch.parent)", at="0.train", strands=1)
    scratch = tmp_path / "scratch"
    small_disk(scratch)
    told = agent.stops("DiskFull", "the disk is full", TMPDIR=str(scratch))
    (scratch / "ballast").unlink()
    agent.goes_on("retry", told, TMPDIR=str(scratch))


def test_a_worker_that_no_folder_can_be_made_for_is_a_full_disk(program, small_disk, tmp_path):
    agent = Agent(program, "crowd(tempfile.gettempdir())", at="0.4", strands=1)
    scratch = tmp_path / "scratch"
    small_disk(scratch, options=",nr_inodes=100")
    told = agent.stops("DiskFull", "the disk is full", TMPDIR=str(scratch))
    for file in scratch.glob("ballast-*"):
        file.unlink()
    agent.goes_on("retry", told, TMPDIR=str(scratch))


# -- read-only, or gone ------------------------------------------------------------------------------------------------


@pytest.fixture
def real_disk(tmp_path):
    """Give a function that mounts an ext4 disk at a folder, the same one each time."""
    image, mounted = tmp_path / "disk.img", []

    def mount_at(place):
        try:
            if not mounted:
                make_file_system(image)
            mounted.append(place)
            mount(image, place, "loop")
        except Unmountable as missing:
            pytest.skip(f"no disk can be mounted here: {missing}")

    yield mount_at
    for place in mounted:
        unmount(place)


@pytest.mark.promise("P1", "P2")
@pytest.mark.parametrize("size", [10, 70_000], ids=["records", "blobs"])
def test_a_disk_that_becomes_read_only_stops_the_run_and_it_goes_on_when_it_is_writable(program, real_disk, size):
    agent = Agent(program, "subprocess.run(['mount', '-o', 'remount,abort', 'home'], check=True)", size=size)
    real_disk(agent.program.home)
    told = agent.stops("StoreUnavailable", "home")
    told |= agent.stops("StoreUnavailable", "home")
    unmount(agent.program.home)
    real_disk(agent.program.home)
    agent.goes_on("resume", told)


def test_a_disk_that_is_unmounted_under_a_run_stops_it_and_it_goes_on_when_it_is_back(program, real_disk):
    agent = Agent(program, "subprocess.run(['umount', '-l', 'home'], check=True)", size=70_000)
    real_disk(agent.program.home)
    told = agent.stops("StoreUnavailable", "home")
    real_disk(agent.program.home)
    agent.goes_on("resume", told)


def test_a_store_that_is_moved_under_a_run_stops_it_and_it_goes_on_when_it_is_back(program):
    agent = Agent(program, "os.rename('home', 'elsewhere')", size=70_000)
    told = agent.stops("StoreUnavailable", "home")
    assert not agent.program.home.exists()
    (agent.program.folder / "elsewhere").rename(agent.program.home)
    agent.goes_on("resume", told)


def test_a_store_that_is_removed_under_a_run_stops_it(program):
    agent = Agent(program, "shutil.rmtree('home')")
    agent.stops("StoreUnavailable", "home")
