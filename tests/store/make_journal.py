"""Writes the journal that `test_format.py` reads: ``PYTHONPATH=src python tests/store/make_journal.py``.

It holds every kind of record. Written once by the first version of a format, it is never written again: a later version
must read what the earlier one wrote. So far as possible it comes out the same each time, and it names no machine.
"""

from __future__ import annotations

import asyncio
import getpass
import platform
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import regrow
from regrow.authoring import home, opening
from regrow.authoring.driving import drive
from regrow.codec import frames
from regrow.engine.host import Host
from regrow.executors.inline import InlineExecutor
from regrow.healing.ladder import Ladder
from regrow.journal.sqlite import SqliteStore
from regrow.values import ids

FOLDER = Path(__file__).with_name("data") / "journal-1"

# -- the agent ---------------------------------------------------------------------------------------------------------

edition = 1
executed: list[str] = []
stops_at = ""
stopped = asyncio.Event()


async def reached(place: str) -> None:
    """Stand still for ever at the place where this life of the run is to end."""
    if place == stops_at:
        stopped.set()
        await asyncio.Event().wait()


@dataclass(frozen=True)
class Report:
    title: str
    scores: dict[str, float]
    words: list[str]
    at: str
    size: int
    handled: str
    receipt: str


class Unfit(Exception):
    def __init__(self, feature: str, score: float) -> None:
        super().__init__(feature, score)
        self.feature = feature


@regrow.step
async def ask(prompt: str) -> str:
    executed.append(f"ask {prompt}")
    return f"an answer to {prompt!r}"


@regrow.step(retries=1, backoff=regrow.Backoff(base=0.25, jitter=0))
async def fetch(name: str) -> str:
    executed.append(f"fetch {name}")
    if regrow.current().attempt == 1:
        raise ConnectionRefusedError(111, "nobody answers")
    return f"content of {name}"


@regrow.step
async def words(count: int) -> AsyncIterator[str]:
    for number in range(count):
        executed.append(f"word {number}")
        yield f"word {number}"


@regrow.step
def table(rows: int) -> bytes:
    executed.append("table")
    return b"0123456789abcdef" * rows


@regrow.step
async def judge(feature: str) -> float:
    executed.append(f"judge {feature}")
    try:
        return 1 / 0
    except ZeroDivisionError as cause:
        failure = Unfit(feature, 0.25)
        failure.add_note("a note")
        raise failure from cause


@regrow.step
async def endless() -> None:
    await asyncio.sleep(3600)


@regrow.task
async def train(feature: str, depth: int = 3) -> float:
    await ask(f"how to train {feature}")
    return len(feature) / depth


def receipt_of(title: str) -> regrow.Happened:
    return regrow.Happened(f"receipt for {title}")


@regrow.step(once=True, reconcile=receipt_of)
async def publish(title: str) -> str:
    executed.append(f"publish {title}")
    await reached("publish")
    return "never recorded"


@regrow.task
async def agent(question: str) -> Report:
    title = await ask(question)
    at = regrow.now()
    await fetch("data.csv")
    said = [word async for word in words(3)]
    features = ("age", "height", "weight")
    scores = await asyncio.gather(*(train(feature) for feature in features))
    try:
        await judge("age")
    except Unfit as failure:
        handled = f"{failure.feature}: {failure.__notes__[0]}, from {failure.__cause__!r}"
    await regrow.sleep("0.5s")
    size = len(table(8192))
    await ask(f"what does edition {edition} need?")
    receipt = await publish(title)
    try:
        async with asyncio.timeout(0.05):
            await endless()
    except TimeoutError:
        pass
    return Report(title, dict(zip(features, scores, strict=True)), said, at.isoformat(), size, handled, receipt)


@regrow.task
async def unfinished(upto: int) -> list[object]:
    found: list[object] = [await ask("before"), await train("age")]
    found += [word async for word in words(2)]
    await regrow.sleep(0.25)
    found.append(len(table(8192)))
    for number in range(upto):
        await reached(f"number {number}")
        found.append(await ask(f"number {number}"))
    return found


@regrow.task
async def failing(feature: str) -> float:
    await ask("before")
    return await judge(feature)


@regrow.task
async def cancelled() -> None:
    await ask("before")
    await reached("end")


# -- writing it down ---------------------------------------------------------------------------------------------------


class Clock:
    """Time as it passes in this journal: a quarter of a second each time that somebody looks."""

    def __init__(self) -> None:
        self._now = 1_735_689_600.0

    def time(self) -> float:
        self._now += 0.25
        return self._now


class NamelessStore(SqliteStore):
    """A store that does not say on which machine it is."""

    def register(self) -> str:
        return "somebody@somewhere pid 1 (00000000)"

    def unregister(self, holder: str) -> None:
        pass


def name_no_machine(clock: Clock) -> None:
    """Replace whatever depends on the machine or the moment."""
    clean = frames.clean
    frames.clean = lambda text: Path(text).name if Path(text).is_absolute() else clean(text)
    frames.is_own = lambda file: Path(file) == Path(__file__)
    opening.time = clock
    opening.source_of = lambda function: "make_journal.py"
    opening.new_run_id = lambda now, key=None: ids.new_run_id(now, key=key, entropy=bytes(11))
    platform.python_version = lambda: "3.11.7"


async def live_until(place: str, task: regrow.Task, *args: object, store: SqliteStore, key: str) -> regrow.Handle:
    """Start a run, and go on until it stands still at a place."""
    global stops_at  # noqa: PLW0603 - the agent above looks there
    stops_at = place
    stopped.clear()
    handle = await regrow.start(task, *args, store=store, key=key)
    await stopped.wait()
    stops_at = ""
    return handle


async def interrupt(handle: regrow.Handle) -> None:
    handle._driver.let_go()
    await asyncio.wait((handle._work,))
    handle._work.exception() if not handle._work.cancelled() else None


async def write(store: SqliteStore, host: Host) -> None:
    global edition  # noqa: PLW0603 - the agent above looks there
    question = "what predicts churn?"
    edition = 1
    await interrupt(await live_until("publish", agent, question, store=store, key="finished"))
    edition = 2
    await (await regrow.start(agent, question, store=store, key="finished")).result()
    await interrupt(await live_until("number 2", unfinished, 5, store=store, key="unfinished"))
    with suppress(Unfit):
        await (await regrow.start(failing, "age", store=store, key="failed")).result()
    await (await live_until("end", cancelled, store=store, key="cancelled")).cancel()


def retry(store: SqliteStore, host: Host) -> None:
    run = store.by_key("default", "failed").id
    driver = host.take_up(run, retry_as="somebody@somewhere")
    with suppress(Unfit):
        drive(host, driver, failing, ("age",), {})


def main(folder: Path) -> None:
    if folder.exists():
        raise SystemExit(f"{folder} is there, and stays as it is")
    clock = Clock()
    name_no_machine(clock)
    store = NamelessStore(folder)
    host = Host(store, InlineExecutor(), Ladder(), clock.time)
    home._hosts_of_objects[id(store)] = host
    asyncio.run(write(store, host))
    retry(store, host)
    home.forget(host)
    store._writer.execute("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    store.close()
    (folder / ".gitignore").unlink()
    shutil.rmtree(folder / "drivers", ignore_errors=True)
    names = {socket.gethostname(), getpass.getuser() + "@", str(Path.cwd()), str(Path(__file__).parent), sys.prefix}
    for file in (path for path in folder.rglob("*") if path.is_file()):
        file.chmod(0o644)
        found = [name for name in names if name.encode() in file.read_bytes()]
        if found:
            raise SystemExit(f"{file} names this machine: {found}")
    print(f"written to {folder}:", *sorted(str(path.relative_to(folder)) for path in folder.rglob("*")))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
