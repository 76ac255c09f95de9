"""The wire between a driver and a worker of a simulated world, and the worker's end of it.

What crosses is what really crosses: frames of bytes, in their order, encoded and decoded by the code that does it in
earnest. A stream socket loses nothing and repeats nothing. So bytes may only be late; what comes twice are messages
that a worker or a driver could itself say twice, and to which the other end must be deaf the second time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import msgspec

from regrow.engine.committer import ThreadTicket, Ticket
from regrow.executors.channel import SocketChannel, frame, to_worker
from regrow.executors.messages import Ack, Append, Blob, Gave, Spawned, Stop, Threw, ToWorker
from regrow.executors.remote import Line, RemoteCommitter, _numbered, _problem
from regrow.executors.shield import Shield
from regrow.testing.processes import Process

if TYPE_CHECKING:
    from regrow.testing.world import SimulatedWorld

_MAY_COME_TWICE = Ack | Spawned | Blob | Stop | Gave | Threw


class Wire:
    """One direction: bytes arrive in the order in which they were sent, sooner or later."""

    def __init__(self, world: SimulatedWorld, to: Process, deliver: Callable[[bytes], None]) -> None:
        """Carry bytes to a process, where `deliver` is called with them."""
        self._world = world
        self._to = to
        self._deliver = deliver
        self._last = 0.0
        self._under_way: deque[bytes] = deque()

    def send(self, message: msgspec.Struct) -> None:
        """Send a message."""
        world = self._world
        times = 1
        if isinstance(message, _MAY_COME_TWICE) and world.swarm.whenever("messages twice", 0.1):
            world.reached["a message that came twice"] += 1
            times = 2
        for _ in range(times):
            self.send_bytes(frame(message))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes."""
        world, delay = self._world, 0.0
        if world.swarm.whenever("messages late", 0.1):
            world.reached["a message that came late"] += 1
            delay = world.chance.choice((0.001, 0.2, 3.0))
        now = world.processes.clock.now
        self._last = max(self._last, now + delay)
        self._under_way.append(data)
        self._arrive_after(self._last - now)

    def _arrive_after(self, delay: float) -> None:
        # A worker hears in a thread of its own, whatever its main thread does; a driver hears on its loop.
        onto = self._to if self._to.parent is None else self._world.processes.operator
        onto.soon(self._arrive, after=delay)

    def _arrive(self) -> None:
        """Deliver what was sent first: of timers that are due at one moment, any may be the first."""
        to, now = self._to, self._world.processes.clock.now
        if to.alive and to.paused_until > now:
            self._arrive_after(to.paused_until - now)
        elif to.alive:
            self._deliver(self._under_way.popleft())

    def close(self) -> None:
        """Send an end, after everything that is on its way."""
        self.send_bytes(b"")


class Writer:
    """What a driver writes to: as much of `asyncio.StreamWriter` as it uses."""

    def __init__(self, wire: Wire) -> None:
        """Write to a wire."""
        self._wire = wire
        self._closed = False

    def write(self, data: bytes) -> None:
        """Send bytes; a frame at a time, as drivers do."""
        self._wire.send(to_worker.decode(data[4:]))

    def write_eof(self) -> None:
        """Say that nothing more will be sent; a simulated worker does not wait for that."""

    def close(self) -> None:
        """Send nothing more."""
        self._closed = True

    def is_closing(self) -> bool:
        """Tell whether anything can still be sent."""
        return self._closed


class _WorkersEnd:
    """As much of `SocketChannel` as a worker uses to speak."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def send(self, message: msgspec.Struct) -> None:
        self._wire.send(message)


class SimulatedLine(Line):
    """A worker's line without the thread that reads it: each message is heard when it arrives."""

    def __init__(self, world: SimulatedWorld, process: Process, wire: Wire, on_stop: Callable[[Stop], None]) -> None:
        """Speak over a wire."""
        super().__init__(cast("SocketChannel", _WorkersEnd(wire)), on_stop, Shield())
        self._world = world
        self._process = process
        self._arrived: deque[ToWorker] = deque()

    def tell(self, message: msgspec.Struct) -> None:
        """See `Line.tell`."""
        self._process.be_alive()
        super().tell(message)

    def hear(self, message: ToWorker) -> None:
        """Take in a message that has arrived."""
        self._arrived.append(message)
        with suppress(_Heard):
            self._listen()

    def ask_and_wait(
        self,
        make: Callable[[int], msgspec.Struct],
        withdraw: Callable[[int], msgspec.Struct] | None = None,  # noqa: ARG002 - nothing interrupts a simulated thread
    ) -> Any:
        """See `Line.ask_and_wait`; everybody else goes on meanwhile."""
        answers: list[Any] = []
        self.ask(make, answers.append)
        self._world.processes.wait(self._process, lambda: bool(answers))
        return answers[0]

    def _next(self) -> ToWorker:
        if not self._arrived:
            raise _Heard
        return self._arrived.popleft()


class _Heard(Exception):
    """Everything that has arrived was heard."""


class SimulatedRemoteCommitter(RemoteCommitter):
    """A worker's way to durable records; what waits in a thread lets all others go on."""

    def __init__(self, line: SimulatedLine, world: SimulatedWorld, process: Process) -> None:
        """Send over a line."""
        super().__init__(line)
        self._world = world
        self._process = process

    def submit(self, entry: Append, loop: asyncio.AbstractEventLoop | None) -> Ticket:
        """See `RemoteCommitter.submit`."""
        if loop is not None:
            return super().submit(entry, loop)
        ticket = _WaitedFor(self._world, self._process)
        self._line.ask(lambda number: _numbered(entry, number), lambda ack: ticket.settle(_problem(ack)))
        return ticket


class _WaitedFor(ThreadTicket):
    def __init__(self, world: SimulatedWorld, process: Process) -> None:
        super().__init__()
        self._world = world
        self._process = process

    def wait(self) -> None:
        self._world.processes.wait(self._process, self._settled.is_set)
        super().wait()
