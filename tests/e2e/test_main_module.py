"""Functions and classes of a script run as ``__main__`` are the same ones when the command line loads the file."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

SCRIPT = """
import dataclasses
import os
import sys

import regrow


class Refused(Exception):
    def __init__(self, code, *, why):
        super().__init__(code, why)
        self.code = code


@dataclasses.dataclass
class Answer:
    text: str
    parts: list[int]


@regrow.step
def ask(question: str) -> Answer:
    print("asking", file=sys.stderr)
    return Answer(question.upper(), [1, 2])


@regrow.step
def refuse() -> None:
    print("refusing", file=sys.stderr)
    raise Refused(7, why="busy")


@regrow.task
def agent(question: str) -> Answer:
    answer = ask(question)
    try:
        refuse()
    except Refused as error:
        answer.parts.append(error.code)
    if os.environ.get("DIE"):
        os.kill(os.getpid(), 9)
    return answer


if __name__ == "__main__":
    print(regrow.run(agent, "why", key="k"))
"""


def test_a_run_of_a_script_is_resumed_by_the_command_line_with_its_own_classes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT), "utf-8")

    def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        import os

        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "REGROW_HOME": str(tmp_path / ".regrow"), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    died = python("script.py", DIE="1")
    assert died.returncode == -9
    assert died.stderr.count("asking") == 1
    resumed = python("-m", "regrow", "resume", "@last")
    assert resumed.returncode == 0, resumed.stderr
    assert "asking" not in resumed.stderr
    assert "refusing" not in resumed.stderr
    again = python("script.py")
    assert again.stdout == "Answer(text='WHY', parts=[1, 2, 7])\n"
    assert "asking" not in again.stderr
