"""The agents of test_checkpoints.py: isolated tasks, which a worker must be able to load from a file."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import threading
import time
from pathlib import Path

import regrow

EPOCHS = 10
FATAL = (3, 6, 9)


def effect(line):
    handle = os.open("effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def kill_nine_once(label):
    try:
        os.close(os.open(f"died-{label}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def wait_to_be_ended():
    effect(f"waiting {os.getpid()}")
    time.sleep(30)
    raise AssertionError("nobody has ended it")


@regrow.step
def prepare(what: str) -> str:
    effect(what)
    return what


# -- epochs ------------------------------------------------------------------------------------------------------------


@regrow.task(isolate=True)
def train(epochs: int, killed: str) -> list[int]:
    progress = regrow.checkpoint()
    done = progress.load([])
    for epoch in range(len(done) + 1, epochs + 1):
        effect(f"epoch {epoch}")
        if killed == "before it is saved" and epoch in FATAL:
            kill_nine_once(epoch)
        done.append(epoch)
        progress.save(done)
        if killed == "after it is saved" and epoch in FATAL:
            kill_nine_once(epoch)
    return done


@regrow.task
async def trainer(killed: str) -> list[int]:
    return await train.aio(EPOCHS, killed)


@regrow.task(isolate=True)
def train_until_preempted(epochs: int) -> list[int]:
    progress = regrow.checkpoint()
    done = progress.load([])
    try:
        for epoch in range(len(done) + 1, epochs + 1):
            effect(f"epoch {epoch}")
            done.append(epoch)
            if epoch == 4 and regrow.current().attempt == 1:
                wait_to_be_ended()
    except regrow.Preempted:
        progress.save(done)  # in its grace
        raise
    return done


@regrow.task(isolate=True)
async def train_until_cancelled(epochs: int) -> list[int]:
    progress = regrow.checkpoint()
    done = progress.load([])
    try:
        for epoch in range(len(done) + 1, epochs + 1):
            effect(f"epoch {epoch}")
            done.append(epoch)
            if epoch == 4 and regrow.current().attempt == 1:
                effect(f"waiting {os.getpid()}")
                await asyncio.sleep(30)
    except asyncio.CancelledError:
        progress.save(done)  # in its grace
        raise
    return done


@regrow.task
async def preempted_trainer(mode: str) -> list[int]:
    task = train_until_preempted if mode == "def" else train_until_cancelled
    return await task.aio(6)


# -- steps inside ------------------------------------------------------------------------------------------------------


def with_steps(label):
    progress = regrow.checkpoint()
    done = progress.load(0)
    if not done:
        prepare("data")
        prepare("folds")
    for epoch in range(done + 1, 5):
        prepare(f"epoch {epoch}")
        progress.save(epoch)
        if epoch == 2:
            kill_nine_once(label)
    return prepare("report")


@regrow.task(isolate=True)
def isolated_with_steps() -> str:
    return with_steps("isolated")


@regrow.task(retries=2, backoff=regrow.Backoff(base=0.0))
async def inline_with_steps() -> str:
    progress = regrow.checkpoint()
    done = progress.load(0)
    if not done:
        await asyncio.gather(asyncio.to_thread(prepare, "data"), asyncio.to_thread(prepare, "folds"))
    for epoch in range(done + 1, 5):
        await prepare.aio(f"epoch {epoch}")
        progress.save(epoch)
        if epoch == 2 and regrow.current().attempt == 1:
            raise ConnectionError("for a while")
    return await prepare.aio("report")


@regrow.task
async def after(task: str) -> list[str]:
    first = await prepare.aio("before")
    second = await globals()[task].aio()
    return [first, second, await prepare.aio("afterwards")]


# -- what is saved -----------------------------------------------------------------------------------------------------


@regrow.task(isolate=True)
def saves_a_path(kind: str) -> str:
    progress = regrow.checkpoint()
    saved = progress.load()
    if saved is None:
        place = Path(regrow.current().scratch, "model")
        if kind == "folder":
            place.mkdir()
            (place / "layers").mkdir()
            (place / "layers" / "one.bin").write_bytes(b"weights")
        else:
            place.write_bytes(b"weights")
        progress.save(place)
        kill_nine_once(kind)
        raise AssertionError("it is dead")
    content = (saved.copy_to("restored") / "layers" / "one.bin" if kind == "folder" else saved.path).read_bytes()
    return f"{type(saved).__name__}: {content.decode()}"


@regrow.task(isolate=True)
def saves_much(times: int) -> int:
    progress = regrow.checkpoint()
    assert progress.load() is None
    for number in range(times):
        progress.save(os.urandom(2**16) + bytes([number]))
    return times


@regrow.task
async def saver(task: str, argument: str) -> object:
    return await globals()[task].aio(int(argument) if argument.isdigit() else argument)


LARGE = 24 * 2**20


@regrow.task(isolate=True)
def dies_while_saving(times: int) -> int:
    """Die in the middle of saving, each time a little later in it, and look at what is there afterwards."""
    progress = regrow.checkpoint()
    attempt = regrow.current().attempt
    saved = progress.load()
    if saved is not None:
        number, digest, data = saved
        assert hashlib.sha256(data).hexdigest() == digest
        assert number < attempt
        effect(f"found {number}")
    else:
        number = 0
        small = b"first"
        progress.save((number, hashlib.sha256(small).hexdigest(), small))
    if attempt > times:
        return number
    data = bytes([attempt]) * LARGE
    digest = hashlib.sha256(data).hexdigest()
    threading.Timer(0.002 * (attempt - 1) ** 2, os.kill, (os.getpid(), signal.SIGKILL)).start()
    progress.save((attempt, digest, data))
    effect(f"saved {attempt}")
    time.sleep(30)
    raise AssertionError("it is dead")
