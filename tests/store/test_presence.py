"""The lock beside the store that says whether the process behind a lease is still there."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from regrow.journal.presence import Presence, actor
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import NewRun


@contextlib.contextmanager
def another_process(folder, first=lambda presence: None):
    """Register a process that does nothing else, and give its holder's name and a way to end it."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            presence = Presence(folder)
            first(presence)
            os.write(writing, presence.register().encode())
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)

    def die():
        nonlocal pid
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pid = 0

    try:
        with os.fdopen(reading, "rb") as said:
            yield said.read1().decode(), die
    finally:
        die()


def lock_of(folder):
    (file,) = folder.iterdir()
    return file


def test_a_process_that_lives_is_not_dead_and_one_that_was_killed_is(tmp_path):
    watcher = Presence(tmp_path)
    with another_process(tmp_path) as (holder, die):
        assert not watcher.is_dead(holder)
        die()
        assert watcher.is_dead(holder)


def test_the_lock_of_a_dead_process_is_cleared_away_and_a_second_look_says_the_same(tmp_path):
    watcher = Presence(tmp_path)
    with another_process(tmp_path) as (holder, die):
        die()
        assert watcher.is_dead(holder)
        assert list(tmp_path.iterdir()) == []
        assert watcher.is_dead(holder)


def test_looking_at_a_process_takes_nothing_from_it(tmp_path):
    one, other = Presence(tmp_path), Presence(tmp_path)
    before = _open_files()
    with another_process(tmp_path) as (holder, _die):
        assert [look.is_dead(holder) for look in (one, other, one)] == [False] * 3
        assert lock_of(tmp_path).exists()
    assert _open_files() == before


def test_a_holder_of_this_very_process_is_alive_and_its_lock_is_left_alone(tmp_path):
    presence = Presence(tmp_path)
    holder = presence.register()
    assert not presence.is_dead(holder)
    assert not Presence(tmp_path).is_dead(holder)
    with lock_of(tmp_path).open("rb+") as file:
        pid = os.fork()
        if pid == 0:  # the lock is this process's, so only another one can see it
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
    presence.unregister(holder)


def test_who_withdraws_is_gone_and_leaves_no_lock_and_may_do_so_twice(tmp_path):
    presence = Presence(tmp_path)
    holder = presence.register()
    presence.unregister(holder)
    assert list(tmp_path.iterdir()) == []
    presence.unregister(holder)
    assert presence.is_dead(holder)


def test_a_lock_file_that_somebody_has_removed_does_not_keep_a_holder_from_withdrawing(tmp_path):
    presence = Presence(tmp_path)
    holder = presence.register()
    lock_of(tmp_path).unlink()
    presence.unregister(holder)
    assert presence.is_dead(holder)


def test_a_lock_that_cannot_be_looked_at_proves_nothing(tmp_path):
    presence = Presence(tmp_path)
    with another_process(tmp_path) as (holder, die):
        lock = lock_of(tmp_path)
        die()
        lock.unlink()
        lock.mkdir()  # opened for writing, a folder is an error of another kind than a file that is not there
        assert not presence.is_dead(holder)
        lock.rmdir()
        assert presence.is_dead(holder)


def test_the_folder_of_locks_is_made_with_those_above_it_for_its_owner_alone(tmp_path):
    presence = Presence(tmp_path / "store" / "drivers")
    holder = presence.register()
    folder = tmp_path / "store" / "drivers"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(lock_of(folder).stat().st_mode) == 0o600
    assert Presence(folder).register() != holder


def test_a_lock_is_not_handed_on_to_a_program_that_is_started(tmp_path):
    presence = Presence(tmp_path)
    holder = presence.register()
    handles = [fd for fd in map(int, _open_files()) if _is(fd, lock_of(tmp_path))]
    assert handles
    assert not any(map(os.get_inheritable, handles))
    presence.unregister(holder)


def _open_files():
    return {file.name for file in Path("/dev/fd").iterdir()}


def _is(fd, file):
    try:
        return os.path.samestat(os.fstat(fd), file.stat())
    except OSError:
        return False


def test_a_holder_names_the_person_the_machine_and_the_process(tmp_path):
    holder = Presence(tmp_path).register()
    person, _, rest = holder.partition(" ")
    assert person == f"{getpass.getuser()}@{socket.gethostname()}" == actor()
    assert rest.startswith(f"pid {os.getpid()} (")
    assert rest.endswith(")")


def test_a_person_with_brackets_in_the_name_has_a_lock_like_others(tmp_path, monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "somebody (or other)")
    with another_process(tmp_path) as (holder, die):
        presence = Presence(tmp_path)
        assert not presence.is_dead(holder)
        assert lock_of(tmp_path).name == f"{holder.rpartition('(')[2].rstrip(')')}.lock"
        die()
        assert presence.is_dead(holder)


@pytest.mark.parametrize("problem", [KeyError, OSError])
def test_a_user_without_a_name_goes_by_number(monkeypatch, problem):
    def nameless():
        raise problem

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert actor() == f"{os.getuid()}@{socket.gethostname()}"


def test_a_run_whose_driver_was_killed_is_listed_as_interrupted_and_can_be_claimed_at_once(tmp_path):
    store = SqliteStore(tmp_path / "store")
    store.create(NewRun("r", "agent", 1.0))
    with another_process(tmp_path / "store" / "drivers") as (holder, die):
        assert store.claim("r", holder, seconds=3600) == 1
        assert store.get("r").status == "running"
        die()
        assert store.get("r").status == "interrupted"
        assert store.claim("r", store.register(), seconds=3600) == 2
    assert store.get("r").status == "running"
    store.close()


def test_a_run_that_nobody_has_held_is_interrupted_and_asks_after_nobody(tmp_path, monkeypatch):
    store = SqliteStore(tmp_path / "store")
    store.create(NewRun("r", "agent", 1.0))
    asked = []
    monkeypatch.setattr(store.presence, "is_dead", asked.append)
    assert store.get("r").status == "interrupted"
    assert asked == []
    store.close()


@pytest.mark.parametrize("name", ["", "somebody", "somebody (../../lock)", "somebody (0123456789)", "(01234567)"])
def test_a_holder_that_nobody_can_be_called_is_dead(tmp_path, name):
    assert Presence(tmp_path).is_dead(name)
