"""The README's promises about its own example hold on this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def example(folder: Path) -> Path:
    """Write the README's program to a file, with a line in the step's body that tells when it runs."""
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
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


def test_every_command_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"^regrow (\w+)", README.read_text("utf-8"), re.MULTILINE))
    assert named
    for command in sorted(named):
        shown = subprocess.run(
            [sys.executable, "-m", "regrow", command, "--help"], capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, f"regrow {command}: {shown.stderr}"
