"""Processes of a test's own that are let go all at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import regrow

SOURCE = os.environ | {"PYTHONPATH": str(Path(regrow.__file__).parents[1])}
"""What a process needs around it to find the regrow that is tested."""


def at_once(count, program, home):
    """Run a program so many times together, on a home and each with its number; give what each printed.

    Each reads a line before it begins: it is written when all have been started.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, home, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=SOURCE,
        )
        for number in range(count)
    ]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in answers] == [""] * count
    return [output for output, _ in answers]
