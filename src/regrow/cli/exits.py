"""What the exit code of a command says."""

from __future__ import annotations

from typing import Final

OK: Final = 0
FAILED: Final = 1
MISTAKE: Final = 2
UNKNOWN_RUN: Final = 3
HELD: Final = 4
STORE: Final = 5
PAUSED: Final = 6
INTERRUPTED: Final = 130
TERMINATED: Final = 143

MEANING: Final = {
    OK: "done",
    FAILED: "the run failed or was cancelled, or a check found something",
    MISTAKE: "the command cannot be carried out as it was written",
    UNKNOWN_RUN: "there is no such run, or several fit",
    HELD: "another process drives the run",
    STORE: "the store cannot be used, or is damaged",
    PAUSED: "the run is paused, or everything is stopped",
    INTERRUPTED: "stopped with Ctrl-C; the run can be resumed",
    TERMINATED: "stopped with SIGTERM; the run can be resumed",
}
