"""What one worker says, and what its driver does about it: records, logs, blobs, and tasks inside the task."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from regrow.codec import ErrorRecord, capture
from regrow.codec.error_record import DEEPEST
from regrow.engine.committer import Ticket
from regrow.engine.decide import blame
from regrow.engine.driver import Driver
from regrow.engine.vault import Kept
from regrow.errors import RegrowError, StoreError
from regrow.executors.channel import Frames, frame, from_worker
from regrow.executors.forkserver import WorkerProcess
from regrow.executors.messages import (
    Ack,
    Append,
    Blob,
    FromWorker,
    Gave,
    GetBlob,
    Job,
    Logged,
    PutBlob,
    Ready,
    ReleaseBlobs,
    Request,
    Response,
    Resting,
    Signalled,
    Spawn,
    Spawned,
    Threw,
    Withdraw,
)
from regrow.executors.services import OFFERED, NotOffered, Offer, serve
from regrow.journal.records import (
    Answered,
    Asked,
    AttemptFailed,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    ChunkYielded,
    Diverged,
    Event,
    OutcomeDecided,
    SignalTaken,
    Spent,
)


class ProtocolBroken(Exception):
    """A worker has said what no worker says."""


class Conversation:
    """The driver's side of one worker's channel.

    Attributes:
        ready: is set once the worker is under the limits that it sets for itself, which `enforced_by` then names.
        outcome: what came of the task; None as long as nothing has.
        signalled: the name of the signal from outside that asked the worker to end; empty if there was none.
    """

    def __init__(
        self,
        driver: Driver,
        job: Job,
        process: WorkerProcess,
        *,
        carry_out: Callable[[Job], Coroutine[Any, Any, Kept]],
        on_ready: Callable[[], None],
        on_signal: Callable[[], None],
    ) -> None:
        """Be ready to listen.

        Args:
            driver: writes the records.
            job: what the worker runs; it may record nothing outside of it.
            process: the worker.
            carry_out: runs a task inside the task.
            on_ready: called once the worker is under its limits, before anything else that it says is heard.
            on_signal: called when a signal from outside asks the worker to end.
        """
        self.ready = asyncio.Event()
        self.enforced_by: tuple[str, ...] = ()
        self.outcome: Gave | Threw | None = None
        self.signalled = ""
        self._driver = driver
        self._path = job.call.path
        self._process = process
        self._carry_out = carry_out
        self._on_ready = on_ready
        self._on_signal = on_signal
        self._loop = asyncio.get_running_loop()
        self._answering: set[asyncio.Task[None]] = set()
        self._letting_go: set[asyncio.Future[None]] = set()
        self._nested: dict[int, asyncio.Task[None]] = {}
        self._shares = False
        self._rests = False

    def send(self, message: msgspec.Struct) -> None:
        """Send a message; a worker that is gone does not hear it."""
        if self.outcome is None and not self._process.writer.is_closing():
            self._process.writer.write(frame(message))

    async def listen(self) -> None:
        """Hear everything that the worker says, until it is gone.

        Raises:
            ProtocolBroken: it said what no worker says.
        """
        frames = Frames(self._process.reader, from_worker)
        try:
            while (message := await frames.next()) is not None:
                self._hear(message)
        except msgspec.DecodeError as problem:
            raise ProtocolBroken(f"{self._path}: its worker sent what is no message ({problem})") from None

    async def end(self) -> None:
        """End what the worker has begun elsewhere, and let go of the channel."""
        left = [*self._nested.values(), *self._answering]
        for task in left:
            task.cancel()
        self._rest(at_rest=False)
        self._process.writer.close()
        await asyncio.gather(*left, return_exceptions=True)
        if self._shares:
            with contextlib.suppress(StoreError):  # then others wait until the run is over
                await asyncio.to_thread(self._driver.around.cache.leave, self._driver.run, self._path)
        if self._letting_go:
            await asyncio.wait(self._letting_go)

    def _hear(self, message: FromWorker) -> None:
        match message:
            case Ready():
                self.enforced_by = message.enforced_by
                self.ready.set()
                self._on_ready()
            case Append():
                self._append(message)
            case Logged():
                self._driver.around.note_log(self._driver.run, message.line)
            case Spawn():
                task = self._answer(self._spawn(message))
                self._nested[message.number] = task
                task.add_done_callback(lambda _: self._nested.pop(message.number, None))
            case Withdraw():
                self._withdraw(message.number)
            case PutBlob() | GetBlob():
                self._answer(self._blob(message))
            case Request():
                self._serve(message)
            case ReleaseBlobs():
                letting_go = self._loop.run_in_executor(None, self._release, message.digests)
                self._letting_go.add(letting_go)
                letting_go.add_done_callback(self._letting_go.discard)
            case Signalled():
                self.signalled = message.name
                self._on_signal()
            case Resting():
                self._rest(at_rest=message.at_rest)
            case Gave() | Threw():
                self._take_last_word(message)

    def _rest(self, *, at_rest: bool) -> None:
        if at_rest != self._rests:
            self._rests = at_rest
            holding = self._driver.holding
            (holding.rest if at_rest else holding.go_on)(self._path)

    def _answer(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        return task

    def _withdraw(self, number: int) -> None:
        if (nested := self._nested.get(number)) is not None:
            nested.cancel()

    def _append(self, message: Append) -> None:
        """Record what the worker asks for, if it is its own to record."""
        if not self._is_its_own(message.event):
            raise ProtocolBroken(f"{self._path}: its worker wanted to record {message.event}")
        event = message.event
        if isinstance(event, AttemptFailed | CallFailed):
            self._ensure_readable(event.error)
        if isinstance(event, CallSucceeded | CallFailed):
            known = self._driver.log.state.calls.get(event.call.path)
            if known is not None and isinstance(known.outcome, CallSucceeded):
                raise ProtocolBroken(f"{event.call.path} has succeeded already, and its worker wants to record more")
        if message.number is None:
            self._driver.hand_in(message.event, message.blobs)
            return
        try:
            ticket = self._driver.record(message.event, self._loop, message.blobs)
        except (RegrowError, asyncio.CancelledError) as problem:
            self.send(Ack(message.number, capture(problem)))
        else:
            if ticket is None:
                self.send(Ack(message.number))
            else:
                self._answer(self._acknowledge(ticket, message.number))

    def _take_last_word(self, message: Gave | Threw) -> None:
        if isinstance(message, Threw):
            self._ensure_readable(message.error)
        self.outcome = message
        if not self._process.writer.is_closing():
            self._process.writer.write_eof()  # it waits for this, so that nothing of ours breaks its last word

    def _ensure_readable(self, error: ErrorRecord) -> None:
        """Refuse an error that could be read here, and perhaps not where the stack is higher: at a resume, say."""
        if error.depth() > DEEPEST:
            raise ProtocolBroken(
                f"{self._path}: its worker sent an error of more than {DEEPEST} causes, one inside the other"
            )

    def _serve(self, request: Request) -> None:
        """Do what only the store can, for the worker's own run."""
        offer = OFFERED.get(request.service)
        if offer is None or request.method not in offer.methods:
            raise ProtocolBroken(f"{self._path}: its worker asked for {request.service}.{request.method}")
        self._shares = self._shares or request.service == "cache"
        self._answer(self._respond(request, offer))

    async def _respond(self, request: Request, offer: Offer) -> None:
        service = getattr(self._driver.around, request.service)
        run, project = self._driver.run, self._driver.project
        try:
            result = await asyncio.to_thread(serve, service, offer, request, run=run, project=project)
        except (RegrowError, NotOffered) as problem:
            self.send(Response(request.number, problem=capture(problem)))
        else:
            self.send(Response(request.number, result))

    async def _acknowledge(self, ticket: Ticket, number: int) -> None:
        try:
            await self._driver.durable(ticket)
        except RegrowError as problem:
            self.send(Ack(number, capture(problem)))
        else:
            self.send(Ack(number))

    def _is_its_own(self, event: Event) -> bool:
        inside = self._path + "/"
        match event:
            case CallStarted() | ChunkYielded() | AttemptFailed() | CallSucceeded() | CallFailed() | CallCancelled():
                return event.call.path.startswith(inside)
            case Spent():
                return event.path.startswith(inside) and event.amount > 0
            case CheckpointSaved() | Diverged() | OutcomeDecided():
                return event.path == self._path or event.path.startswith(inside)
            case Asked():
                return event.call.path.startswith(inside)
            case Answered() | SignalTaken():
                return event.path.startswith(inside)
            case _:
                return False

    async def _spawn(self, spawn: Spawn) -> None:
        """Run a task inside the task, and tell its outcome once its worker is gone."""
        if not spawn.job.call.path.startswith(self._path + "/"):
            self._process.writer.close()
            return
        try:
            kept = await self._carry_out(spawn.job)
        except asyncio.CancelledError:
            self.send(Spawned(spawn.number, error=capture(asyncio.CancelledError())))
            raise
        except Exception as error:  # noqa: BLE001 - the worker's own calls decide what it means
            again = blame(error, self._driver.run, self._path)
            self.send(Spawned(spawn.number, error=capture(error), again=again))
        else:
            self.send(Spawned(spawn.number, kept.value, kept.blobs))

    async def _blob(self, message: PutBlob | GetBlob) -> None:
        blobs, number = self._driver.vault.blobs, message.number
        try:
            if isinstance(message, PutBlob):
                answer = Blob(number, digest=await asyncio.to_thread(blobs.put, message.data))
            else:
                answer = Blob(number, data=await asyncio.to_thread(blobs.get, message.digest))
        except StoreError as problem:
            answer = Blob(number, problem=capture(problem))
        self.send(answer)

    def _release(self, digests: tuple[str, ...]) -> None:
        try:
            self._driver.around.release_blobs(self._driver.run, digests)
        except StoreError:
            return  # then they stay as long as the run does
