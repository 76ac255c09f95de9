"""A folder with an agent, a store in it, and `regrow` as a user types it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
PATIENCE = 60.0

AGENT = '''
import asyncio
import enum
import os
import pathlib
import time
from dataclasses import dataclass
from typing import Literal

import regrow

HERE = pathlib.Path(__file__).parent


def note(line):
    with (HERE / "trace").open("a") as file:
        file.write(line + "\\n")


@dataclass
class Plan:
    names: list[str]
    depth: int = 2


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@regrow.step
async def think(question: str) -> str:
    note(f"think {question}")
    return question.upper()


@regrow.task
async def work(number: int) -> int:
    note(f"work {number}")
    return number * 2


@regrow.task
async def agent(question: str, width: int = 3) -> dict:
    """Answer a question.

    Args:
        question: what is asked.
        width: how many work side by side.
    """
    answer = await think(question)
    return {"answer": answer, "numbers": await asyncio.gather(*(work(n) for n in range(width)))}


@regrow.task
async def fails(question: str = "why") -> str:
    answer = await think(question)
    if not (HERE / "mended").exists():
        raise ValueError(f"cannot answer {answer}")
    return answer


@regrow.step(retries=2, backoff=regrow.Backoff(base=0.01))
async def flaky() -> None:
    note("flaky")
    raise ConnectionError(f"no line, {regrow.current().attempt}")


@regrow.task
async def calls_out() -> None:
    await flaky()


@regrow.task
async def slow(steps: int = 200) -> int:
    try:
        for number in range(steps):
            await think(str(number))
            await asyncio.sleep(0.02)
            if (HERE / "hurry").exists():
                break
    finally:
        note("finally")
    return steps


@regrow.step(once=True)
async def pay(amount: int) -> dict:
    note(f"pay {amount}")
    if not (HERE / "mended").exists():
        os.kill(os.getpid(), 9)
    return {"paid": amount}


@regrow.task
async def shop(amount: int = 7) -> dict:
    return await pay(amount)


@regrow.task
def typed(
    text: str,
    number: int,
    share: float = 0.5,
    flag: bool = False,
    path: pathlib.Path | None = None,
    mode: Literal["fast", "good"] = "good",
    colour: Colour = Colour.RED,
    plan: Plan = Plan(["a"]),
) -> list:
    return [text, number, share, flag, str(path), mode, colour.value, plan.names, plan.depth]


@regrow.task
def prints_escapes() -> None:
    raise ValueError("\\x1b[31mred\\x1b[0m and \\x07")
'''


@dataclass
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Desk:
    """A folder in which somebody works with regrow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "agent.py").write_text(AGENT, "utf-8")
        self.env = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("REGROW", "NO_COLOR", "FORCE"))
            },
            "PYTHONPATH": str(SOURCE),
            "COLUMNS": "110",
            "TERM": "xterm-256color",
        }
        self.children: list[subprocess.Popen] = []

    def regrow(self, *arguments: str, **env: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "regrow", *arguments],
            cwd=self.folder,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def begin(self, *arguments: str) -> subprocess.Popen:
        child = subprocess.Popen(
            [sys.executable, "-m", "regrow", *arguments],
            cwd=self.folder,
            env=self.env,
            # A shell's background jobs inherit it ignored, and the tests may be one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no thread runs here
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.children.append(child)
        return child

    def trace(self) -> list[str]:
        file = self.folder / "trace"
        return file.read_text("utf-8").split("\n")[:-1] if file.exists() else []

    def wait_for_trace(self, lines: int) -> None:
        end = time.monotonic() + PATIENCE
        while len(self.trace()) < lines:
            assert time.monotonic() < end, f"only {len(self.trace())} of {lines} lines came"
            time.sleep(0.01)

    def end(self, child: subprocess.Popen, number: int) -> Ran:
        child.send_signal(number)
        out, err = child.communicate(timeout=PATIENCE)
        return Ran(child.returncode, out, err)

    def close(self) -> None:
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.communicate()


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.close()
