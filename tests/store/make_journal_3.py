"""Writes the journal that `test_format_3.py` reads: ``PYTHONPATH=src python -m tests.store.make_journal_3``.

It holds what format 3 added: forks, questions and their answers, signals, cache hits, memories, and the orders that
people give. Each field of a record is written down by name and none with its default. Written once, it is never written
again; see `make_journal.py`.
"""

from __future__ import annotations

from regrow.codec import encode
from regrow.codec.error_record import ErrorRecord
from regrow.journal.asks import Answer, Exhibit, NewAsk, Question, digest_of, encode_question
from regrow.journal.cache import Artifact, Granted
from regrow.journal.memories import Change, Origin
from regrow.journal.records import (
    Answered,
    Asked,
    AttemptFailed,
    CacheHit,
    Call,
    CallFailed,
    CallStarted,
    CallSucceeded,
    DriverOpened,
    Event,
    RunCreated,
    RunForked,
    Said,
    SignalTaken,
    Spent,
)
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import NewRun
from regrow.remedies import AskHuman

from .kept import append_all, write_once

HOLDER = "somebody@somewhere pid 1 (00000000)"
RUN = "01JGFJJZ000000000000000000"
PARENT = "01JGFJJX000000000000000000"
NOW = 1_735_689_600.0

AGENT = Call(path="agent#1", kind="task", position=1, digest=b"digest of agent", inputs=encode(("question",)))
ASK = Call(path="agent#1/ask#1", kind="ask", position=1, digest=b"digest of ask", inputs=encode(("sure?",)))
WAIT = Call(path="agent#1/signal#1", kind="signal", position=2, digest=b"digest of wait", inputs=encode(("go",)))
PRICE = Call(path="agent#1/price#1", kind="step", position=3, digest=b"digest of price", inputs=encode(("Oslo",)))
COST = Call(path="agent#1/cost#1", kind="step", position=4, digest=b"digest of cost", inputs=encode(("Lima",)))
APPEND = Call(path="agent#1/memory.append#1", kind="memory", position=5, digest=b"digest of append", inputs=encode(()))

QUESTION = Question(
    text="Is this the right customer?",
    kind="approval",
    run=RUN,
    path=ASK.path,
    task="agent",
    schema={"type": "boolean"},
    evidence=(Exhibit("facts", "owes 120"),),
    inputs="00ff",
    choices=("yes", "no"),
    to=("alice", "bob"),
    approvals=2,
    due=NOW + 86_400.0,
    default="false",
)
SHOWN = encode_question(QUESTION)
ASK_ID = "0123456789abcdef"
HIT = CacheHit(run=PARENT, path="agent#1/price#1", time=NOW - 60.0, seconds=1.5, cost=4_200_000)

EVENTS: list[Event] = [
    RunCreated(
        run=RUN,
        task="module:agent",
        source="module.py",
        inputs=encode((("question",), {})),
        digest=b"digest of agent",
        key="shared",
        project="a project",
        parent=PARENT,
        code="ab" * 32,
    ),
    RunForked(
        run=PARENT,
        at="agent#1/price#1",
        upto=7,
        replaced=("agent#1/ask#1",),
        inputs=("question",),
        lineage=((PARENT, NOW - 1.0),),
        memories={"customers/42": 1},
    ),
    DriverOpened(holder=HOLDER, regrow="0.3.0", python="3.11.7"),
    CallStarted(call=AGENT, attempt=1),
    Asked(
        call=ASK,
        attempt=2,
        ask=ASK_ID,
        shown=SHOWN,
        digest=digest_of(SHOWN),
        due=NOW + 86_400.0,
        remind=3600.5,
        evidence=encode({"owes": 120}),
        question="Is this the right customer?",
    ),
    Answered(
        path=ASK.path,
        ask=ASK_ID,
        digest=digest_of(SHOWN),
        how="refused",
        said=(
            Said(
                who="alice", how="local user", time=NOW + 1.5, verdict="yes", why="called her", number=1, value=b"true"
            ),
            Said(who="bob", how="signed callback", time=NOW + 2.5, verdict="no", why="", number=2, value=b"false"),
        ),
        reason="it is none of these",
    ),
    SignalTaken(path=WAIT.path, name="go", place=1, actor="somebody@somewhere", time=NOW + 3.0),
    CallSucceeded(call=PRICE, attempt=1, started=NOW + 4.0, value=encode(40), hit=HIT),
    CallFailed(
        call=COST,
        attempt=1,
        started=NOW + 5.0,
        error=ErrorRecord(type="builtins:ValueError", message="no such city"),
        hit=HIT,
    ),
    Spent(path=COST.path, attempt=2, amount=150, on="one token"),
    CallSucceeded(call=APPEND, attempt=1, started=NOW + 5.5, value=encode(["customers/42", 1, b"hash"])),
    AttemptFailed(
        call=AGENT,
        attempt=1,
        started=NOW + 0.5,
        error=ErrorRecord(type="builtins:ValueError", message="no such city"),
        retry_at=NOW + 6.0,
        again=("agent#1/cost#1",),
        remedy=AskHuman(to="alice", timeout=3600.0, remind=60.0),
        chosen_by="on_failure",
        counts=False,
    ),
]
"""Each kind and each field that is new in format 3."""

ARTIFACT = Artifact(key="key of price", ref="module:price", origin=HIT, value=encode(40))


def write(store: SqliteStore) -> None:
    store.create(NewRun(RUN, "module:agent", NOW, "shared", "a project"))
    epoch = store.claim(RUN, HOLDER)
    append_all(store, RUN, epoch, EVENTS, NOW)
    store.asks.post(RUN, "a project", NewAsk(id=ASK_ID, asked=NOW, shown=SHOWN, remind=3600.5))
    store.asks.answer(ASK_ID, Answer("alice", "local user", NOW + 1.5, b"true", "yes", "called her"))
    store.signals.expect(RUN, "sooner", "key of wait")
    store.signals.send(RUN, "later", b"5", "somebody@somewhere", NOW + 3.5)
    granted = store.cache.look_up(ARTIFACT.key, run=RUN, path=PRICE.path, now=NOW)
    assert isinstance(granted, Granted)
    store.cache.put(ARTIFACT, granted.flight, run=RUN, project="a project")
    origin = Origin(RUN, APPEND.path, "agent", "the customer", NOW + 5.5)
    changes = [
        Change("message", value=encode({"role": "user", "content": "hello"}), text="hello"),
        Change("document", "name", encode("Ann"), text="Ann"),
    ]
    store.memories.write("a project", "customers/42", changes, origin, once="once")
    store.request_pause(RUN, "somebody@somewhere")
    store.stop("another project", "somebody@somewhere", "too hot")
    store.release(RUN, epoch)


if __name__ == "__main__":
    write_once(3, write)
