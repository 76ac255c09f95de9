"""A person's word on a once-only call is checked against its type, can be corrected, and is shown for what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

AGENT = """
import os
from dataclasses import dataclass

import regrow


@dataclass
class Receipt:
    id: int
    who: str


@regrow.step(once=True)
def pay(amount: int) -> Receipt:
    if os.environ.get("DIE"):
        os.kill(os.getpid(), 9)
    return Receipt(1, "live")


@regrow.task
def agent() -> str:
    receipt = pay(5)
    return f"{receipt.id} {receipt.who}"
"""


def regrow(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "regrow", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_decision_is_checked_corrected_and_gone_on_from(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(AGENT, "utf-8")
    assert regrow(tmp_path, "run", "agent.py", DIE="1").returncode == -9

    why = json.loads(regrow(tmp_path, "why", "@last", "--json").stdout)
    assert "disappeared without a word" in why["headline"]
    assert all("resolve" in way["command"] for way in why["ways"])
    died = why["headline"]

    wrong = regrow(tmp_path, "resolve", "@last", "pay#1", "--happened", '{"idx": 9}')
    assert wrong.returncode == 2
    assert "missing required field `id`" in wrong.stderr

    first = regrow(tmp_path, "resolve", "@last", "pay#1", "--happened", '{"id": 8, "who": "a mistake"}')
    assert first.returncode == 0, first.stderr
    why = json.loads(regrow(tmp_path, "why", "@last", "--json").stdout)
    assert why["headline"] == died, "what happened is still what happened"
    assert any("resume" in way["command"] for way in why["ways"])

    second = regrow(tmp_path, "resolve", "@last", "pay#1", "--happened", '{"id": 9, "who": "z"}', "--retry")
    assert second.returncode == 0, second.stderr
    assert second.stdout.strip() == "9 z"
