"""What the README and the pages for users show holds on this machine: each program runs, and prints what is said."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (
    README,
    *(ROOT / "docs" / f"{name}.md" for name in ("cache", "costs", "healing", "memory", "stopping", "time-travel")),
)
PROGRAM = re.compile(r"```python\n(.*?)```\n(?:\nIt prints:\n\n```text\n(.*?)```\n)?", re.DOTALL)


def programs(page: Path) -> list[tuple[str, str]]:
    """Give each program of a page, with what the page says that it prints."""
    return PROGRAM.findall(page.read_text("utf-8"))


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "agent.py"
    file.write_text(program, "utf-8")
    return subprocess.run([sys.executable, str(file)], cwd=folder, capture_output=True, text=True, check=False)


def example(folder: Path) -> Path:
    """Write the README's first program to a file, with a line in the step's body that tells when it runs."""
    program, _ = programs(README)[0]
    body = '    return [f"{prompt} by region"'
    assert body in program
    program = program.replace(body, f"    print('asking', flush=True)\n{body}")
    file = folder / "agent.py"
    file.write_text(program, "utf-8")
    return file


def test_the_example_killed_in_its_sleep_goes_on_without_asking_twice(tmp_path: Path) -> None:
    file = example(tmp_path)
    first = subprocess.Popen([sys.executable, str(file)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "asking\n"
    # It sleeps once the answer's record is there; that is what must survive.
    journal = Path(os.environ["REGROW_HOME"], "journal.db-wal")
    deadline = time.monotonic() + 20
    while journal.read_bytes().count(b"analyse#2") == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first.stdout.close()
    second = subprocess.run([sys.executable, str(file)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert second.stdout == "{'churn by region': 0.15, 'churn by age': 0.12}\n"
    third = subprocess.run([sys.executable, str(file)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert third.stdout == second.stdout


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        pytest.param(program, printed, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (program, printed) in enumerate(programs(page), start=1)
    ],
)
def test_what_a_page_shows_runs_and_prints_what_it_says(program: str, printed: str, tmp_path: Path) -> None:
    ran = run(program, tmp_path)
    assert ran.returncode == 0, ran.stderr
    if printed:
        assert ran.stdout == printed


def test_the_failure_that_the_example_catches_says_what_it_died_of(tmp_path: Path) -> None:
    program, _ = programs(README)[1]
    assert 'max="4Gi"' in program
    ran = run(program.replace('max="4Gi"', 'max="257Mi"').replace("train.aio(300)", "train.aio(3000)"), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("OutOfMemory (infrastructure, ")
    assert "Ways out:" in ran.stdout


def test_every_command_that_the_pages_name_exists() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = {*re.findall(r"^regrow (\w+)", text, re.MULTILINE), *re.findall(r"`regrow (\w+)[^`]*`", text)}
    assert named > {"doctor", "show", "why"}
    for command in sorted(named):
        shown = subprocess.run(
            [sys.executable, "-m", "regrow", command, "--help"], capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, f"regrow {command}: {shown.stderr}"
