"""`import regrow` is paid by every script and every worker, so it loads nothing that only some of them need."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

HEAVY = (
    "click",
    "langchain",
    "matplotlib",
    "numpy",
    "pandas",
    "pydantic",
    "ray",
    "rich",
    "sklearn",
)


def heavy_packages_loaded_by(statement: str) -> set[str]:
    """Run the statement in a fresh interpreter and name the heavy packages that are loaded afterwards.

    Isolated (-I), so that neither the working directory, nor PYTHON* variables, nor a user's site-packages take part.
    """
    report = f"import sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}} & {set(HEAVY)!r}))"
    child = subprocess.run(
        [sys.executable, "-I", "-c", f"{statement}\n{report}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    return set(child.stdout.split())


def test_importing_regrow_loads_nothing_heavy():
    assert heavy_packages_loaded_by("import regrow") == set()


def test_the_check_notices_a_package_that_is_loaded():
    assert heavy_packages_loaded_by("import click") == {"click"}


def test_the_check_notices_a_package_of_which_only_a_part_is_imported():
    assert heavy_packages_loaded_by("import rich.errors") == {"rich"}
