"""A stop that is in force, in words, and the command that lifts it."""

from __future__ import annotations

import shlex
from datetime import datetime

from regrow.journal.orders import Stop


def stop_scope(project: str) -> str:
    """Say what a stop is of: one project, or the whole store."""
    return f"project {project!r}" if project else "this store"


def stop_words(stop: Stop) -> str:
    """Say what is stopped, by whom, since when and why."""
    when = datetime.fromtimestamp(stop.time).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    reason = f": {stop.reason}" if stop.reason else ""
    return f"{stop_scope(stop.project)} is stopped, by {stop.actor} at {when}{reason}"


def lift_command(project: str, options: str = "") -> str:
    """Give the command that lifts a stop; `options` say which store is meant, and name no project."""
    return f"regrow stop --lift {f'--project {shlex.quote(project)}' if project else '--all'}{options}"
