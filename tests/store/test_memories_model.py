"""Any sequence of writes, reverts, forks and quarantines, against a model that keeps every state whole."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regrow.codec import decode, encode
from regrow.journal.memories import Change, Origin, Pin, Suspect
from regrow.journal.memory import MemoryStore

pytestmark = pytest.mark.store

ACTORS = ("ann", "bob", "eve")
KEYS = ("k1", "k2")
NAMES = ("m0", "m1", "m2")


class State(msgspec.Struct, frozen=True):
    """A memory at one version: all that was ever written on its line, and who is in quarantine."""

    writes: tuple = ()
    held: frozenset = frozenset()

    def seen(self):
        messages, documents = [], {}
        for actor, key, value in self.writes:
            if actor in self.held:
                continue
            if key is None:
                messages.append(value)
            else:
                documents[key] = value
        return messages, {key: value for key, value in documents.items() if value is not None}


class Model:
    """Every version of every memory, whole."""

    def __init__(self):
        self.versions = {name: [State()] for name in NAMES}

    def latest(self, name):
        return self.versions[name][-1]

    def add(self, name, **changes):
        self.versions[name].append(msgspec.structs.replace(self.latest(name), **changes))


names, versions = st.sampled_from(NAMES), st.integers(0, 40)
ACTIONS = st.one_of(
    st.tuples(st.just("message"), names, st.sampled_from(ACTORS), st.integers()),
    st.tuples(st.just("set"), names, st.sampled_from(ACTORS), st.sampled_from(KEYS), st.integers(0, 9)),
    st.tuples(st.just("delete"), names, st.sampled_from(ACTORS), st.sampled_from(KEYS)),
    st.tuples(st.just("revert"), names, versions),
    st.tuples(st.just("fork"), names, versions, names),
    st.tuples(st.just("quarantine"), names, st.sampled_from(ACTORS)),
    st.tuples(st.just("release"), names, st.sampled_from(ACTORS)),
)


def play(action, model, memories):
    kind, name, *rest = action

    def write(*changes, to=name, actor="op"):
        return memories.write("p", to, changes, Origin("", "", actor, "", 1.0))

    count = len(model.versions[name])
    latest = model.latest(name)
    match kind:
        case "message":
            write(Change("message", "", encode(rest[1])), actor=rest[0])
            model.add(name, writes=(*latest.writes, (rest[0], None, rest[1])))
        case "set":
            write(Change("document", rest[1], encode(rest[2])), actor=rest[0])
            model.add(name, writes=(*latest.writes, tuple(rest)))
        case "delete":
            write(Change("document", rest[1]), actor=rest[0])
            model.add(name, writes=(*latest.writes, (*rest, None)))
        case "revert" if count > 1:
            to = rest[0] % count
            write(Change("revert", base=Pin(name, to)))
            model.add(name, writes=model.versions[name][to].writes)
        case "fork" if count > 1 and len(model.versions[rest[1]]) == 1 and rest[1] != name:
            at, to = rest[0] % count, rest[1]
            write(Change("fork", base=Pin(name, at)), to=to)
            model.versions[to].append(model.versions[name][at])
        case "quarantine":
            write(Change("quarantine", suspect=Suspect(actor=rest[0])))
            model.add(name, held=latest.held | {rest[0]})
        case "release" if rest[0] in latest.held:
            write(Change("release", suspect=Suspect(actor=rest[0])))
            model.add(name, held=latest.held - {rest[0]})


def in_pages(memories, at):
    last = None
    while page := memories.messages("p", at, beyond=last, limit=2):
        yield from page
        last = Pin(page[-1].memory, page[-1].version)


def agree(model, memories):
    for name, states in model.versions.items():
        for version, state in enumerate(states):
            at = memories.pin("p", name, version)
            messages, documents = state.seen()
            found = memories.messages("p", at)
            assert [decode(one.value) for one in found] == messages
            assert memories.count("p", at) == len(messages)
            backwards = memories.messages("p", at, limit=2, newest_first=True)
            assert [one.version for one in backwards] == [one.version for one in found[::-1][:2]]
            assert [one.version for one in memories.messages("p", at, after=1, limit=2)] == [
                one.version for one in found[1:3]
            ]
            assert [one.hash for one in in_pages(memories, at)] == [one.hash for one in found]
            facts = {key: memories.fact("p", at, "document", key) for key in KEYS}
            assert {key: decode(fact.value) for key, fact in facts.items() if fact} == documents
            assert memories.keys("p", at, "document") == sorted(documents)
            assert len(memories.places("p", at)) == len(messages) + len(documents)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(st.lists(ACTIONS, max_size=30))
def test_every_version_of_every_memory_is_what_the_model_says(actions):
    model, memories = Model(), MemoryStore().memories
    for action in actions:
        play(action, model, memories)
    agree(model, memories)
    assert memories.check() == []


@pytest.mark.control
def test_the_comparison_notices_a_model_that_forgets_a_quarantine():
    model, memories = Model(), MemoryStore().memories
    for action in (("message", "m0", "eve", 1), ("quarantine", "m0", "eve")):
        play(action, model, memories)
    agree(model, memories)
    model.versions["m0"][-1] = msgspec.structs.replace(model.latest("m0"), held=frozenset())
    with pytest.raises(AssertionError):
        agree(model, memories)
