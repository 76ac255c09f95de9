"""Frames over a stream socket: four bytes of length, then msgpack. Both ends of it.

The worker's end is a plain socket, read by one thread and written by any; the driver's end is asyncio's.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import Final, Generic, TypeVar

import msgspec

from regrow.executors.messages import FromWorker, ToWorker

_LENGTH: Final = struct.Struct("<I")
LARGEST_FRAME: Final = 1 << 28
"""What is larger is no message of ours. Values above 64 KiB are blobs, and go to their folder where there is one."""

_encode = msgspec.msgpack.Encoder().encode
to_worker: Final = msgspec.msgpack.Decoder(ToWorker)
from_worker: Final = msgspec.msgpack.Decoder(FromWorker)

In = TypeVar("In")


class ChannelClosed(Exception):
    """The other end is gone."""


def frame(message: msgspec.Struct) -> bytes:
    """Give a message as bytes to be sent."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


def _decoded(decoder: msgspec.msgpack.Decoder[In], body: bytes) -> In:
    """Read a message; what msgspec leaves to others to say (of text, of depth) is said as it says the rest."""
    try:
        return decoder.decode(body)
    except (UnicodeDecodeError, RecursionError) as problem:
        raise msgspec.DecodeError(str(problem)) from None


class SocketChannel:
    """The worker's end."""

    def __init__(self, sock: socket.socket) -> None:
        """Speak over a connected stream socket."""
        self._sock = sock
        self._sending = threading.Lock()

    def send(self, message: msgspec.Struct) -> None:
        """Send a message, from any thread.

        Raises:
            ChannelClosed: nobody listens any more.
        """
        data = frame(message)
        try:
            with self._sending:
                self._sock.sendall(data)
        except OSError as problem:
            raise ChannelClosed(str(problem)) from problem

    def receive(self) -> ToWorker:
        """Wait for the next message; only ever called by one thread at a time.

        Raises:
            ChannelClosed: nobody will send one.
            msgspec.DecodeError: what came is no message.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        message: ToWorker = _decoded(to_worker, self._exactly(length))
        return message

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            try:
                part = self._sock.recv(min(count - len(parts), 1 << 20))
            except OSError as problem:
                raise ChannelClosed(str(problem)) from problem
            if not part:
                raise ChannelClosed("the driver is gone")
            parts += part
        return bytes(parts)


class Frames(Generic[In]):
    """The reading side of a driver's end."""

    def __init__(self, reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[In]) -> None:
        """Read messages of one kind from a stream."""
        self._reader = reader
        self._decoder = decoder

    async def next(self) -> In | None:
        """Give the next message; None once the other end is gone, in the middle of a message or not.

        Raises:
            msgspec.DecodeError: what came is no message.
        """
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > LARGEST_FRAME:
                raise msgspec.DecodeError(f"a frame of {length} bytes")
            return _decoded(self._decoder, await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None
