"""Memories among real processes: kills after every write, writers that race, and workers."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

import regrow
from regrow.authoring.home import forget, host_of
from regrow.journal.sqlite import SqliteStore

from . import memory_agents

pytestmark = pytest.mark.process

AGENTS = Path(memory_agents.__file__)
PATIENCE = 60


def command(*arguments):
    return [sys.executable, str(AGENTS), *map(str, arguments)]


def ran(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=PATIENCE, check=False)


def contents(home):
    store = SqliteStore(home)
    memories = store.memories
    history = memories.history("default", memories.head("default", "m"))
    assert store.check() == []
    store.close()
    return [(one.version, one.kind, one.key, one.value) for one in history]


def race(*who):
    with ExitStack() as stack:
        racers = [
            stack.enter_context(
                subprocess.Popen(command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for arguments in who
        ]
        assert [racer.stdout.readline() for racer in racers] == ["ready\n" for _ in racers]
        for racer in racers:
            racer.stdin.write("\n")
            racer.stdin.flush()
        return [racer.communicate(timeout=PATIENCE)[0].strip() for racer in racers]


def test_an_agent_killed_after_each_of_its_fifty_writes_resumes_with_exactly_the_memory_that_it_had(tmp_path):
    whole = ran("whole", tmp_path / "calm")
    assert whole.returncode == 0, whole.stderr
    expected = contents(tmp_path / "calm")
    assert len(expected) == memory_agents.WRITES
    for kill in range(1, memory_agents.WRITES + 1):
        died = ran("mortal", tmp_path / "mortal")
        assert died.returncode == -9, died.stderr
        assert contents(tmp_path / "mortal") == expected[:kill]
    last = ran("mortal", tmp_path / "mortal")
    assert (last.returncode, last.stdout) == (0, whole.stdout)
    assert contents(tmp_path / "mortal") == expected


def test_of_two_processes_that_expect_one_version_exactly_one_succeeds(tmp_path):
    memory = regrow.memory("m", store=str(tmp_path / "store"))
    try:
        for _ in range(5):
            at = memory.kv.set("round", "begins")
            told = race(*(("race", tmp_path / "store", name, at) for name in ("ann", "bob")))
            assert sorted(told) == ["lost", "won"]
            winner = ("ann", "bob")[told.index("won")]
            entry = memory.kv.entry("winner")
            assert (entry.value, entry.origin.actor, entry.version) == (winner, winner, at + 1)
            assert memory.version() == at + 1
    finally:
        forget(host_of(str(tmp_path / "store")))


def test_two_processes_that_write_without_expecting_anything_lose_nothing(tmp_path):
    home = str(tmp_path / "store")
    memory = regrow.memory("m", store=home)
    memory.kv.set("n", 0)
    try:
        assert race(*(("count", home, name) for name in ("ann", "bob"))) == ["done", "done"]
        assert memory.kv["n"] == 50
        assert sorted(memory.messages) == sorted(f"{name} {number}" for name in ("ann", "bob") for number in range(25))
        assert memory.version() == 101
        assert [entry.version for entry in memory.history()] == list(range(1, 102))
    finally:
        forget(host_of(home))


def test_a_memory_is_the_same_inside_a_worker(tmp_path):
    store = SqliteStore(tmp_path / "store")
    try:
        told = regrow.run(memory_agents.with_workers, store=store)
        said = {"role": "user", "content": "from a worker 1"}
        assert told == [[[-1, True], [said], 200_000, "message"], 2]
        entry = regrow.memory("m", store=store).files.entry("big.txt")
        assert (entry.origin.actor, entry.origin.step) == ("isolated_diary", "with_workers#1/isolated_diary#1")
        assert store.memories.blobs() <= {digest for digest, _, _ in store.blobs.digests()}
    finally:
        forget(host_of(store))
        store.close()
