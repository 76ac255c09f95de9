"""Agents' memories as a store keeps them: versions, lines, guards, quarantines, damage, and what they cost."""

import apsw
import msgspec
import pytest

import regrow
from regrow.codec import decode
from regrow.errors import Conflict, Corrupted, LeaseLost, UsageError
from regrow.insight.collect import loose_blobs
from regrow.journal.memories import Carried, Change, Guard, Origin, Pin, Suspect, Version
from regrow.journal.memory import MemoryStore
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import NewRun

from .remembering import ME, document, message, texts, value, write

pytestmark = pytest.mark.store


def test_a_version_can_be_read_for_ever_whatever_is_written_since(store):
    first = write(store, message("one"), document("k", 1))
    write(store, message("two"), document("k", 2), Change("document", "k"))
    assert texts(store, first) == ["one"]
    assert value(store, first, "k") == 1


def test_what_one_connection_has_written_another_one_reads(place):
    at = write(place.open(), message("one"))
    assert texts(place.open(), at) == ["one"]


def test_several_changes_are_made_all_or_none(store):
    write(store, message("one"))
    with pytest.raises(UsageError, match="quarantine"):
        write(store, message("two"), Change("release", suspect=Suspect(run="r")))
    assert store.memories.head("default", "m").version == 1


def test_a_write_that_expects_another_version_changes_nothing_and_says_who_was_quicker(store):
    write(store, message("one"))
    write(store, document("k", 1), origin=Origin("run-7", "a#1", "planner", "", 2.0))
    with pytest.raises(Conflict, match=r"at version 2, not at 1.*document by planner in run run-7") as raised:
        write(store, message("two"), guard=Guard(version=1))
    assert (raised.value.memory, raised.value.expected, raised.value.actual) == ("m", 1, 2)
    assert store.memories.head("default", "m").version == 2
    assert write(store, message("two"), guard=Guard(version=2)).version == 3


def test_a_write_may_expect_a_key_to_be_unchanged_and_not_the_whole_memory(store):
    at = write(store, document("k", 1))
    write(store, message("beside"))
    write(store, document("k", 2), guard=Guard(entry=Pin("m", at.version)))
    with pytest.raises(Conflict, match="'k' in memory m"):
        write(store, document("k", 3), guard=Guard(entry=Pin("m", at.version)))
    write(store, Change("document", "k"))
    write(store, document("k", 4), guard=Guard(entry=Pin("m", 0)))


def test_equal_numbers_on_both_sides_of_a_fork_are_not_taken_for_one_version(store):
    write(store, message("one"))
    at = write(store, document("k", "base"))
    write(store, Change("fork", base=at), memory="f")
    write(store, document("k", "own"), memory="f")
    with pytest.raises(Conflict):
        write(store, document("k", "x"), memory="f", guard=Guard(entry=Pin("m", 2)))


def test_a_write_that_was_made_under_a_name_is_not_made_again(store):
    first = write(store, message("one"), message("two"), once="name")
    again = write(store, message("one"), message("two"), once="name", guard=Guard(version=0))
    assert again == first
    assert texts(store, first) == ["one", "two"]


def test_two_projects_may_have_a_memory_of_one_name(store):
    at = write(store, message("mine"))
    store.memories.write("other", "m", [message("theirs")], ME)
    assert texts(store, at) == ["mine"]
    assert [row.name for row in store.memories.rows("other")] == ["m"]


def test_a_driver_that_has_lost_its_run_writes_nothing(store):
    run = store.create(NewRun("run-1", "module:task", 1.0)).id
    epoch = store.claim(run, store.register())
    store.release(run, epoch)
    store.claim(run, store.register())
    with pytest.raises(LeaseLost):
        write(store, message("late"), run=run, epoch=epoch)
    assert store.memories.head("default", "m").version == 0


def test_a_quarantine_hides_what_was_written_and_what_will_be_from_later_reads_only(store):
    evil = Origin("r", "agent#1/fetch#2/memory.set#1", "agent", "evil.example", 1.0)
    write(store, document("k", "good"))
    before = write(store, document("k", "bad"), message("bad"), origin=evil)
    write(store, Change("quarantine", "why", suspect=Suspect(source="evil.example")))
    after = write(store, message("worse"), origin=evil)
    assert (value(store, before, "k"), texts(store, before)) == ("bad", ["bad"])
    assert (value(store, after, "k"), texts(store, after)) == ("good", [])
    assert store.memories.search("default", after, ["bad"], 9) == []
    released = write(store, Change("release", suspect=Suspect(source="evil.example")))
    assert (value(store, released, "k"), texts(store, released)) == ("bad", ["bad", "worse"])
    assert value(store, after, "k") == "good"


@pytest.mark.parametrize(
    ("suspect", "hidden"),
    [
        (Suspect(step="fetch"), True),
        (Suspect(step="agent#1/fetch#2"), True),
        (Suspect(step="agent#1/fetch#20"), False),
        (Suspect(step="agent#1/fetch"), False),
        (Suspect(step="etch"), False),
        (Suspect(run="r"), True),
        (Suspect(run="r", actor="somebody"), False),
        (Suspect(actor="agent"), True),
    ],
    ids=str,
)
def test_a_suspect_is_whom_all_of_its_words_fit(store, suspect, hidden):
    write(store, message("x"), origin=Origin("r", "agent#1/fetch#2/memory.append#1", "agent", "", 1.0))
    at = write(store, Change("quarantine", suspect=suspect))
    assert texts(store, at) == ([] if hidden else ["x"])


def test_a_revert_does_not_let_out_what_is_in_quarantine_and_a_fork_takes_it_along(store):
    before = write(store, message("bad"), origin=Origin("r", "", "a", "", 1.0))
    held = write(store, Change("quarantine", suspect=Suspect(run="r")))
    assert texts(store, write(store, Change("revert", base=before))) == []
    fork = write(store, Change("fork", base=held), memory="f")
    assert texts(store, fork) == []
    assert texts(store, write(store, Change("fork", base=before), memory="early")) == ["bad"]
    assert store.memories.check() == []


def test_a_list_counts_the_messages_that_each_memory_holds(store):
    at = write(store, message("one"), message("two"))
    write(store, Change("fork", base=at), memory="f")
    write(store, message("three"), memory="f")
    write(store, Change("fork", base=store.memories.head("default", "f")), memory="g")
    write(store, message("four"))
    write(store, Change("revert", base=at))
    write(store, message("bad"), memory="g", origin=Origin("r", "", "a", "", 1.0))
    write(store, Change("quarantine", suspect=Suspect(run="r")), memory="g")
    held = {row.name: row.messages for row in store.memories.rows("default")}
    assert held == {"m": 2, "f": 3, "g": 3}
    for name, count in held.items():
        assert len(texts(store, store.memories.head("default", name))) == count


def test_a_memory_from_which_another_was_forked_is_not_removed(store):
    at = write(store, message("one"))
    write(store, Change("fork", base=at), memory="f")
    with pytest.raises(UsageError, match="its forks"):
        store.memories.remove("default", "m")
    store.memories.remove("default", "f")
    store.memories.remove("default", "m")
    assert store.memories.rows() == []
    assert store.memories.search("default", Pin("m", 0), ["one"], 5) == []


def test_a_memory_that_was_removed_and_made_again_is_not_taken_for_the_old_one(store):
    at = write(store, message("old"))
    store.memories.remove("default", "m")
    with pytest.raises(Corrupted, match="memory m: version 1 is missing"):
        texts(store, at)
    write(store, message("new"))
    with pytest.raises(Corrupted, match="memory m: version 1 is not the one that was read"):
        texts(store, at)


def test_a_search_respects_line_version_quarantine_and_what_is_overwritten(store):
    first = write(store, document("k", "red fox"), message("red hen"))
    second = write(store, document("k", "grey fox"))
    found = {(one.fact.kind, one.fact.version) for one in store.memories.search("default", second, ["red", "fox"], 9)}
    assert found == {("message", 2), ("document", 3)}
    assert len(store.memories.search("default", first, ["red"], 9)) == 2
    other = store.memories.write("default", "other", [message("red")], ME)
    assert len(store.memories.search("default", other, ["red"], 9)) == 1
    fork = write(store, Change("fork", base=first), memory="f")
    assert len(store.memories.search("default", fork, ["red"], 1)) == 1
    assert len(store.memories.search("default", fork, ['"', "*", "red"], 9)) == 2


def test_blobs_of_a_memory_outlive_the_run_that_wrote_them(tmp_path):
    store = SqliteStore(tmp_path / "store")
    memory = regrow.memory("m", store=store)
    memory.files.write("big", b"x" * 200_000)
    (digest,) = store.memories.blobs()
    late = 10**12
    assert list(loose_blobs(store, now=late)) == []
    store.memories.remove("default", "m")
    assert [blob.digest for blob in loose_blobs(store, now=late)] == [digest]
    store.close()


def test_ten_thousand_messages_cost_their_own_length_each(sqlite):
    store = sqlite.open()
    db = store._db

    def rows_and_bytes():
        with db.reading() as reader:
            rows = reader.execute("SELECT count(*) FROM memory_versions").fetchone()[0]
            pages = reader.execute("PRAGMA page_count").fetchone()[0]
            return rows, pages * reader.execute("PRAGMA page_size").fetchone()[0]

    def add(count, first):
        for start in range(first, first + count, 500):
            write(store, *(message(f"message number {start + place:06}") for place in range(500)))

    add(5_000, 0)
    half_rows, half = rows_and_bytes()
    add(5_000, 5_000)
    rows, whole = rows_and_bytes()
    assert (half_rows, rows) == (5_000, 10_000)
    assert whole < 2.3 * half, "the second half of a dialogue must not weigh more than the first"
    assert whole < 10_000 * 600
    at = store.memories.head("default", "m")
    assert store.memories.count("default", at) == 10_000
    assert decode(store.memories.messages("default", at, limit=1, newest_first=True)[0].value).endswith("009999")


def test_reading_the_last_message_is_no_more_work_in_a_long_dialogue_than_in_a_short_one(store):
    def work(function):
        steps = []
        with store.memories._db.reading() as db:
            db.set_progress_handler(lambda: bool(steps.append(1)), 10)
        function()
        with store.memories._db.reading() as db:
            db.set_progress_handler(None)
        return len(steps)

    at = write(store, *(message(f"message {number}") for number in range(20)))
    short = work(lambda: store.memories.messages("default", at, limit=5, newest_first=True))
    at = write(store, *(message(f"message {number}") for number in range(3_000)))
    assert work(lambda: store.memories.messages("default", at, limit=5, newest_first=True)) < 2 * short + 10
    assert work(lambda: store.memories.count("default", at)) > 10 * short, "the measure sees what grows"


def test_a_memory_is_carried_into_another_store_with_its_history_and_what_it_was_forked_from(store):
    base = write(store, message("one"), document("k", 1), once="w")
    write(store, message("after the fork"))
    write(store, Change("fork", base=base), memory="f")
    write(store, document("k", 2), memory="f")
    at = write(store, Change("quarantine", suspect=Suspect(run="r")), memory="f")
    carried = store.memories.carried("default", at)
    assert [(one.version.memory, one.version.version) for one in carried] == [
        ("m", 1),
        ("m", 2),
        ("f", 1),
        ("f", 2),
        ("f", 3),
    ]
    other = MemoryStore()
    for _ in range(2):
        other.memories.adopt("imported", carried, ["digest"])
    memories = other.memories
    assert decode(memories.fact("imported", at, "document", "k").value) == 2
    assert [decode(one.value) for one in memories.messages("imported", at)] == ["one"]
    assert memories.suspects("imported", at) == [Suspect(run="r")]
    assert (memories.check(), memories.blobs()) == ([], {"digest"})
    memories.write("imported", "m", [message("one"), document("k", 1)], ME, once="w")
    assert memories.head("imported", "m") == base
    memories.write("default", "m", [message("another")], ME)
    with pytest.raises(UsageError, match="another memory m in project default"):
        memories.adopt("default", carried)
    forged = msgspec.structs.replace(carried[0], version=msgspec.structs.replace(carried[0].version, key="x"))
    with pytest.raises(Corrupted, match="memory m: version 1 is not what was exported"):
        memories.adopt("new", [forged])
    assert memories.rows("new") == []


DAMAGE = (
    "UPDATE memory_versions SET value = x'0102' WHERE version = 2",
    "UPDATE memory_versions SET value = NULL WHERE version = 2",
    "UPDATE memory_versions SET value = 'text' WHERE version = 2",
    "UPDATE memory_versions SET actor = 'somebody' WHERE version = 2",
    "UPDATE memory_versions SET time = 7 WHERE version = 2",
    "UPDATE memory_versions SET time = 'never' WHERE version = 2",
    "UPDATE memory_versions SET once = NULL WHERE version = 2",
    "UPDATE memory_versions SET hash = x'00' WHERE version = 2",
    "UPDATE memory_versions SET hash = x'00' WHERE version = 1",
    "UPDATE memory_versions SET suspect = x'ff' WHERE version = 2",
    "DELETE FROM memory_versions WHERE version = 1",
)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_version_that_is_not_what_was_written_is_never_served(sqlite, damage):
    store = sqlite.open()
    write(store, message("one"))
    write(store, message("two"), once="o")
    at = write(store, message("three"))
    store.close()
    db = apsw.Connection(str(sqlite._home / "journal.db"))
    db.execute(damage)
    db.close()
    store = sqlite.open()
    with pytest.raises(Corrupted, match="memory m"):
        store.memories.stored("default", "m", 2)
    with pytest.raises(Corrupted, match=r"memory m: version [12]"):
        store.memories.history("default", at)
    assert any("memory m" in sentence for sentence in store.check())


def test_a_quarantine_that_was_taken_out_behind_the_chain_is_found_by_a_check(sqlite):
    store = sqlite.open()
    write(store, message("bad"))
    write(store, Change("quarantine", suspect=Suspect(actor="me@here")))
    assert store.check() == []
    with store._db.writing() as db:
        db.execute("DELETE FROM memory_quarantines")
    assert store.check() == ["memory m: what is in quarantine is not what its versions say"]


def test_a_conflict_names_the_last_five_of_those_who_were_quicker(store):
    for number in range(1, 9):
        write(store, message("x"), origin=Origin("", "", f"writer {number}", "", 1.0))
    with pytest.raises(Conflict) as raised:
        write(store, message("late"), guard=Guard(version=1))
    assert raised.value.since == tuple(f"{number}: message by writer {number}" for number in range(4, 9))
    with pytest.raises(Conflict) as raised:
        write(store, message("late"), guard=Guard(version=9))
    assert (raised.value.actual, raised.value.since) == (8, ())


def test_a_conflict_about_a_key_says_in_which_version_it_stands(store):
    at = write(store, document("k", 1))
    write(store, document("k", 2))
    write(store, message("beside"), message("more"))
    with pytest.raises(Conflict) as raised:
        write(store, document("k", 3), guard=Guard(entry=at))
    assert (raised.value.expected, raised.value.actual, raised.value.key) == (1, 2, "k")


def test_that_nothing_stands_under_a_key_is_the_same_in_whichever_memory_it_was_seen(store):
    at = write(store, message("one"))
    write(store, Change("fork", base=at), memory="f")
    write(store, document("k", 1), memory="f", guard=Guard(entry=Pin("m", 0)))
    assert value(store, store.memories.head("default", "f"), "k") == 1


def test_who_has_no_lease_on_a_run_may_write_on_its_behalf(store):
    store.create(NewRun("run-1", "module:task", 1.0))
    for _ in range(3):
        store.release("run-1", store.claim("run-1", store.register()))
    at = write(store, message("one"), origin=Origin("run-1", "", "me", "", 1.0), run="run-1")
    assert texts(store, at) == ["one"]


def test_a_search_finds_every_message_that_fits(store):
    at = write(store, message("red fox"), message("red hen"), message("grey hen"))
    found = store.memories.search("default", at, ["red"], 9)
    assert sorted(one.fact.version for one in found) == [1, 2]


def test_a_vector_is_kept_once_it_is_known(store):
    at = write(store, message("one"), message("two"))
    first, second = store.memories.vectors("default", at, "model")
    known = msgspec.structs.replace(second, numbers=b"\0" * 8)
    store.memories.keep_vectors("default", "model", [first, known])
    assert store.memories.vectors("default", at, "model") == [first, known]


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("agent#1/fetch#2/memory.set#1", "agent#1/fetch#2"),
        ("agent#1/fetch#2/~map#1/~reduce#2/memory.set#1", "agent#1/fetch#2"),
        ("agent#1/~map#1/fetch~#2/memory.set#1", "agent#1/~map#1/fetch~#2"),
        ("", ""),
    ],
)
def test_who_wrote_is_the_step_and_no_branch_of_it(path, step):
    assert Origin("r", path, "a", "", 1.0).step == step


def test_a_search_for_nothing_finds_nothing(store):
    at = write(store, message("one"), document("k", "one"))
    assert store.memories.search("default", at, [], 9) == []


def test_a_version_that_is_recorded_has_its_fields_by_their_places():
    pin = Pin("m", 3, b"hash")
    assert msgspec.to_builtins(pin, builtin_types=(bytes,)) == ["m", 3, b"hash"]
    assert msgspec.convert(["m", 3, b"hash"], Pin) == pin
    assert msgspec.convert(["m", 3], Pin).hash == b""


def test_what_is_left_out_of_a_change_or_a_version_is_empty():
    change, version = Change("message"), Version("m", 1, "message", "", None, ME)
    assert (change.key, change.value, change.blobs, change.text) == ("", None, (), "")
    assert (version.base, version.suspect, version.hash, Carried(version).once) == (None, None, b"", "")
