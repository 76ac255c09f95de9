"""What can be seen of a run from outside: its journal, its processes, and the effects that its code had.

Effects are lines in a file in the working directory, which each test has for itself: what really happened, whatever the
journal says. The modules with the agents write them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

from regrow.authoring import home
from regrow.authoring.home import host_of
from regrow.engine.invariants import check_run
from regrow.executors.limits import cgroups
from regrow.journal.chain import unseal_all
from regrow.values.resources import Resources

EFFECTS = Path("effects")


class Journal:
    """The records of one run, with the chain and the invariants checked from end to end."""

    def __init__(self, store, row):
        self.row = row
        self.logs = [line for _, line in store.read_logs(row.id)]
        self.records = unseal_all(row.id, store.read(row.id))
        assert check_run(self.records) == []

    def of(self, kind, name=""):
        """Give the events of a kind that are about calls of a name."""
        events = [record.event for record in self.records if isinstance(record.event, kind)]
        return [event for event in events if not name or name_of(event) == name]


def name_of(event):
    path = event.path if hasattr(event, "path") else event.call.path
    return path.rpartition("/")[2].partition("#")[0]


def journals(store=None):
    """Give the journals of all runs, the latest first."""
    store = store if store is not None else host_of(None).store
    return [Journal(store, row) for row in store.runs()]


def journal(store=None):
    """Give the journal of the latest run."""
    return journals(store)[0]


def effects(place=EFFECTS):
    """Give the lines that the code has written, in their order."""
    return place.read_text("utf-8").splitlines() if place.exists() else []


def counted(place=EFFECTS):
    return Counter(effects(place))


def wait_until(condition, seconds=30.0):
    """Wait for what another process does, and give what it gave."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, "it did not come to be in time"
        time.sleep(0.01)
    return found


def said(word, place=EFFECTS):
    """Give what was written after a word, in the first line that begins with it; None if there is none yet."""
    for line in effects(place):
        first, _, rest = line.partition(" ")
        if first == word:
            return rest
    return None


def is_gone(pid):
    """Tell whether a process is no more; one that nobody has asked after yet is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def meanwhile(function, *args):
    """Do something in another thread while the test's own is in a run; join what this gives."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def can_hold():
    """Tell whether this host can hold a worker at its limit."""
    groups = cgroups.detect()
    if groups is None:
        return False
    group = groups.create(f"can-hold-{time.monotonic_ns()}", Resources(memory=2**26), hold=True)
    try:
        return group.holds
    finally:
        group.close()


def memory_of_host():
    return home.workers.ceiling
