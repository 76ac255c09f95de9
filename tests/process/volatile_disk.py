"""A disk that forgets: ext4 on a block device whose every write and flush is known, in their order.

    ext4 -> loop device -> one file of a FUSE file system -> `_Disk` below, in a process of its own -> a log

What a power cut leaves is then computed from the log, for any moment, after the event: what had been flushed by then is
there; of what was written since, a real disk's cache may have written out anything, in any order. Copying the file
behind a mounted loop device would be simpler. But a copy takes time, and its parts are of different moments: a state
that no disk ever was in. And it has all writes in it, flushed or not, so that a missing flush would never be seen.

Who writes to the file `told` beside the disk's own has it in the same log. So what was acknowledged before a cut is
known exactly, without looking at any clock.

The FUSE protocol is spoken directly (include/uapi/linux/fuse.h of Linux, version 7.31): a binding would be one more
dependency, and two files need eight of its messages.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import msgspec

SIZE = 48 * 2**20
SECTOR = 512
"""What a disk writes whole or not at all, in bytes."""
WRITE, FLUSH, TOLD = range(3)
_ENTRY = struct.Struct("<BQI")
"""What each entry of the log begins with: its kind, where it was written, and how many bytes follow."""
_SHARES = (0.0, 0.5, 0.95, 1.0)
"""How much of its cache a disk may have written out. One that heeds no flush always loses some, or nobody would see."""
_PATIENCE = 10.0


class Unmountable(Exception):
    """This user, or this kernel, has no FUSE, no loop devices or no ext4."""


class Cut(msgspec.Struct, frozen=True):
    """A power cut.

    Attributes:
        entries: how many of the log's entries were before it.
        told: what had been written to `told` by then.
        image: what the disk holds.
    """

    entries: int
    told: bytes
    image: bytes


# -- what a power cut leaves -------------------------------------------------------------------------------------------


def read_log(file):
    """Give the entries of a log as (kind, offset, content)."""
    log, at, entries = file.read_bytes(), 0, []
    while at + _ENTRY.size <= len(log):
        kind, offset, length = _ENTRY.unpack_from(log, at)
        at += _ENTRY.size
        if at + length > len(log):
            break
        entries.append((kind, offset, log[at : at + length]))
        at += length
    return entries


def cut(blank, entries, count, dice, *, heeds_flushes=True):
    """Give what a disk holds after a power cut.

    Args:
        blank: the disk's content before the first entry.
        entries: the log.
        count: how many of them come before the cut.
        dice: choose what becomes of what was not flushed: all of it is there, none, or some of its sectors.
        heeds_flushes: without, nothing counts as flushed. Some cheap disks are like that.
    """
    image, cached, told = bytearray(blank), [], []
    for kind, offset, content in entries[:count]:
        if kind == TOLD:
            told.append(content)
        elif kind == WRITE:
            cached.append((offset, content))
        elif heeds_flushes:
            _write_out(image, cached, 1.0, dice)
            cached = []
    _write_out(image, cached, dice.choice(_SHARES if heeds_flushes else _SHARES[:-1]), dice)
    return Cut(count, b"".join(told), bytes(image))


def _write_out(image, cached, share, dice):
    for offset, content in cached:
        if share == 1.0:
            image[offset : offset + len(content)] = content
        elif share:
            for at in range(0, len(content), SECTOR):
                if dice.random() < share:
                    image[offset + at : offset + at + SECTOR] = content[at : at + SECTOR]


# -- mounting ----------------------------------------------------------------------------------------------------------


class VolatileDisk:
    """An empty ext4 file system on a disk that keeps a log; a context manager.

    Attributes:
        root: where it is mounted.
        told: a file to which may be written what shall stand in the log.
        blank: what the disk held at first.
        mounted: how many entries the log had when it was mounted. ext4 writes its superblock then, and not through
            its journal: torn there, the disk is lost, and nothing with it.
    """

    def __init__(self, folder):
        """Lay it out in a folder that is on another disk."""
        self.root = folder / "root"
        self._device = folder / "device"
        self.told = self._device / "told"
        self._log = folder / "log"
        self._blank = folder / "blank.img"
        self._server = None
        self.mounted = 0
        for place in (self.root, self._device):
            place.mkdir()

    @property
    def blank(self):
        return self._blank.read_bytes()

    def log(self):
        return read_log(self._log)

    def __enter__(self):
        make_file_system(self._blank)
        self._server = subprocess.Popen(
            [sys.executable, __file__, self._blank, self._device, self._log], stderr=subprocess.PIPE
        )
        try:
            _wait_until(lambda: self.told.exists() or self._server.poll() is not None)
            if self._server.poll() is not None:
                raise Unmountable(self._server.stderr.read().decode().strip().rpartition("\n")[2])
            # A commit every hour: what is on the disk is then what was asked for, and not what ext4 added of itself.
            mount(self._device / "disk", self.root, "loop,commit=3600")
            self.mounted = len(self.log())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        unmount(self.root)
        unmount(self._device)
        if self._server.poll() is None:
            self._server.kill()
        self._server.wait()
        self._server.stderr.close()


def make_file_system(file):
    """Make an empty ext4 in a new file; all of it at once, so that nothing is left to be written later."""
    file.touch()
    os.truncate(file, SIZE)
    options = ("-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=4", "-b", "4096")
    try:
        made = subprocess.run(["mkfs.ext4", *options, file], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unmountable("there is no mkfs.ext4 here") from None
    if made.returncode:
        raise Unmountable(made.stderr.strip())


def mount(file, place, options):
    done = subprocess.run(
        ["mount", "-t", "ext4", "-o", options, file, place], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise Unmountable(done.stderr.strip().partition("\n")[0])


def unmount(place):
    """Unmount what is mounted there; what is still busy is detached, so that nothing is left behind in any case."""
    while os.path.ismount(place):
        if subprocess.run(["umount", place], check=False, capture_output=True).returncode:
            subprocess.run(["umount", "-l", place], check=True)


def _wait_until(condition):
    limit = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > limit:
            raise Unmountable("the disk did not appear")
        time.sleep(0.01)


# -- the disk, in a process of its own ---------------------------------------------------------------------------------

_ROOT, _DISK, _TOLD = 1, 2, 3
_FILES = {b"disk": _DISK, b"told": _TOLD}
_REQUEST = struct.Struct("<IIQQIIIHH")
_REPLY = struct.Struct("<IiQ")
_ATTRIBUTES = struct.Struct("<6Q10I")
_IO = struct.Struct("<QQIIQII")
_BIG_WRITES, _DIRECT = 1 << 5, 1
_MOST = 128 * 1024
"""The most bytes of one write."""
_NOT_FOUND, _NOT_KNOWN = -errno.ENOENT, -errno.ENOSYS


class _Asked(enum.IntEnum):
    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    INTERRUPT = 36
    BATCH_FORGET = 42


class _Disk:
    def __init__(self, image, log):
        self._content = bytearray(image)
        self._log = log

    def answer(self, operation, node, body):
        """Give the answer to a request, the negative number of an error, or None where none is expected."""
        match operation:
            case _Asked.INIT:
                return struct.pack("<IIIIHHIIHHI28x", 7, 31, _MOST, _BIG_WRITES, 12, 9, _MOST, 1, 0, 0, 0)
            case _Asked.LOOKUP:
                found = _FILES.get(body.rstrip(b"\0"))
                return struct.pack("<QQQQII", found, 0, 3600, 3600, 0, 0) + _attributes(found) if found else _NOT_FOUND
            case _Asked.GETATTR:
                return struct.pack("<QII", 3600, 0, 0) + _attributes(node)
            case _Asked.OPEN:
                return struct.pack("<QIi", 0, _DIRECT if node == _TOLD else 0, 0)
            case _Asked.READ:
                _, offset, size, *_ = _IO.unpack_from(body)
                return bytes(self._content[offset : offset + size])
            case _Asked.WRITE:
                return self._write(node, body)
            case _Asked.FSYNC:
                self._note(FLUSH)
                return b""
            case _Asked.RELEASE | _Asked.FLUSH:
                return b""
            case _Asked.FORGET | _Asked.INTERRUPT | _Asked.BATCH_FORGET:
                return None
            case _:
                return _NOT_KNOWN

    def _write(self, node, body):
        _, offset, size, *_ = _IO.unpack_from(body)
        content = body[_IO.size : _IO.size + size]
        if node == _TOLD:
            self._note(TOLD, 0, content)
        else:
            self._content[offset : offset + size] = content
            self._note(WRITE, offset, content)
        return struct.pack("<II", size, 0)

    def _note(self, kind, offset=0, content=b""):
        self._log.write(_ENTRY.pack(kind, offset, len(content)) + content)


def _attributes(node):
    mode, size = {_ROOT: (0o40700, 0), _DISK: (0o100600, SIZE), _TOLD: (0o100600, 0)}[node]
    return _ATTRIBUTES.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, os.geteuid(), os.getegid(), 0, 4096, 0)


def serve(image, place, log):
    """Mount the two files at a place, and answer for them until they are unmounted."""
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()}"
    if libc.mount(b"volatile-disk", os.fsencode(place), b"fuse", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "FUSE cannot be mounted here")
    with log.open("wb", buffering=0) as written:
        disk = _Disk(image.read_bytes(), written)
        while True:
            try:
                request = os.read(device, _MOST + 4096)
            except OSError as problem:
                if problem.errno == errno.ENODEV:  # unmounted
                    return
                if problem.errno in (errno.ENOENT, errno.EINTR):  # the request was taken back
                    continue
                raise
            _, operation, unique, node, *_ = _REQUEST.unpack_from(request)
            answer = disk.answer(operation, node, request[_REQUEST.size :])
            if answer is not None:
                error, content = (answer, b"") if isinstance(answer, int) else (0, answer)
                os.write(device, _REPLY.pack(_REPLY.size + len(content), error, unique) + content)


if __name__ == "__main__":
    serve(*map(Path, sys.argv[1:]))
