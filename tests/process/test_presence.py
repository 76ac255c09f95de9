"""Whether the process behind a lease is there, and what a lease is worth while it is not."""

from __future__ import annotations

import signal

import pytest

from regrow.errors import RunHeld
from regrow.journal.chain import unseal_all
from regrow.journal.store import NewRun

pytestmark = [pytest.mark.process, pytest.mark.promise("P3", "P8")]

HOLDER = """
    from regrow.journal.chain import seal
    from regrow.journal.records import Record, RunCreated
    from regrow.journal.sqlite import SqliteStore
    from regrow.journal.store import Entry

    store = SqliteStore("home")
    holder = store.register()
    epoch = store.claim("run-1", holder, seconds=float(sys.argv[1]))

    def append(seq):
        record = seal(Record(seq, 1.0, "driver", epoch, b"", RunCreated("run-1", "", "", b"", b"")))
        return sorted(store.append([Entry("run-1", epoch, record)]))

    print(append(1))
    effect("holds")
    if len(sys.argv) > 2:
        exec(sys.argv[2])
    wait_for_file("go")
    print(append(2))
"""


@pytest.fixture
def holder(program):
    made = program(HOLDER)
    made.store().create(NewRun("run-1", "module:task", 1.0))
    return made


def started(holder, *arguments):
    process = holder.start(*arguments)
    holder.wait_for("holds")
    return process


def test_the_lease_of_a_live_process_is_respected(holder):
    process = started(holder, 600)
    store = holder.store()
    row = store.get("run-1")
    assert row.status == "running"
    assert f"pid {process.pid} " in row.holder
    for _ in range(3):
        with pytest.raises(RunHeld) as caught:
            store.claim("run-1", store.register())
        assert caught.value.holder == row.holder
    holder.touch("go")
    assert holder.finish(process).out == "[]\n[]\n"


def test_the_lease_of_a_killed_process_is_not_waited_for(holder):
    process = started(holder, 600)
    process.kill()
    process.wait()
    store = holder.store()
    assert store.get("run-1").status == "interrupted"
    assert store.claim("run-1", store.register()) == 2


def test_the_lease_of_a_process_that_just_ended_is_not_waited_for(holder):
    process = started(holder, 600)
    holder.touch("go")
    holder.finish(process)
    store = holder.store()
    assert store.claim("run-1", store.register()) == 2


def test_a_zombie_that_nobody_has_waited_for_is_dead(holder):
    process = started(holder, 600)
    process.kill()
    store = holder.store()
    holder.wait_until(lambda: store.get("run-1").status == "interrupted")
    assert process.returncode is None
    assert store.claim("run-1", store.register()) == 2


def test_a_child_that_outlives_a_killed_holder_does_not_keep_its_lease_alive(holder):
    process = started(holder, 600, "if os.fork() == 0: wait_for_file('go'); os._exit(0)")
    process.kill()
    process.wait()
    store = holder.store()
    assert store.claim("run-1", store.register()) == 2
    holder.touch("go")


def test_a_child_that_ends_before_its_holder_does_not_end_its_lease(holder):
    child = "if os.fork() == 0: raise SystemExit(0)\nos.wait(); effect('child ended')"
    process = started(holder, 600, child)
    holder.wait_for("child ended")
    store = holder.store()
    with pytest.raises(RunHeld):
        store.claim("run-1", store.register())
    holder.touch("go")
    assert holder.finish(process).out.endswith("[]\n[]\n")


def test_a_stopped_process_keeps_its_lease_until_it_runs_out_and_cannot_append_after_it_was_taken(holder):
    process = started(holder, 1)
    process.send_signal(signal.SIGSTOP)
    store = holder.store()
    with pytest.raises(RunHeld):
        store.claim("run-1", store.register())
    assert store.get("run-1").status == "running"
    holder.wait_until(lambda: not store.get("run-1").held)
    assert store.get("run-1").status == "interrupted"
    assert store.claim("run-1", store.register()) == 2
    holder.touch("go")
    process.send_signal(signal.SIGCONT)
    assert holder.finish(process).out == "[]\n['run-1']\n"
    assert len(unseal_all("run-1", store.read("run-1"))) == 1


def test_a_stopped_process_whose_lease_ran_out_goes_on_if_nobody_took_it(holder):
    process = started(holder, 0.3)
    process.send_signal(signal.SIGSTOP)
    store = holder.store()
    holder.wait_until(lambda: not store.get("run-1").held)
    holder.touch("go")
    process.send_signal(signal.SIGCONT)
    assert holder.finish(process).out == "[]\n[]\n"
    assert len(store.read("run-1")) == 2


def test_the_locks_of_the_dead_are_cleared_away(holder):
    process = started(holder, 600)
    process.kill()
    process.wait()
    assert len(list((holder.home / "drivers").iterdir())) == 1
    holder.store().get("run-1")
    assert list((holder.home / "drivers").iterdir()) == []


def test_a_forked_child_is_kept_off_its_parents_connections(holder):
    child = """
if os.fork() == 0:
    for use in (lambda: append(2), lambda: store.renew(holder), lambda: store.get("run-1")):
        try:
            use()
        except regrow.StoreUnavailable as refused:
            effect(f"refused: {str(refused).partition(',')[0]}")
    effect(f"a store of its own has {len(SqliteStore('home').runs())} run")
    os._exit(0)
os.wait()
"""
    process = started(holder, 600, child)
    holder.touch("go")
    assert holder.finish(process).out == "[]\n[]\n"
    ledger = holder.ledger()
    assert ledger["refused: this store was opened before the process forked"] == 3
    assert ledger["a store of its own has 1 run"] == 1
