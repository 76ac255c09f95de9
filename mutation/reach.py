"""What each test reaches, kept between calls: a test is only run again if it, or anything that it runs, was edited."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from mutation.laboratory import KnownTest
from mutation.mutants import REPOSITORY
from mutation.results import FOLDER

_FILE = FOLDER / "reach.json"


def take_up() -> dict[str, KnownTest]:
    """Give what is known of tests that are still the same, by name."""
    if not _FILE.exists():
        return {}
    kept = json.loads(_FILE.read_text("utf-8"))
    shared = _shared()
    return {
        name: KnownTest(name, one["seconds"], {file: frozenset(lines) for file, lines in one["lines"].items()})
        for name, one in kept.items()
        if one["made_of"] == shared + _file(name)
    }


def put_down(tests: Iterable[KnownTest]) -> None:
    """Keep what is known of these, beside what is known of others."""
    shared = _shared()
    kept = json.loads(_FILE.read_text("utf-8")) if _FILE.exists() else {}
    kept |= {
        test.name: {
            "made_of": shared + _file(test.name),
            "seconds": test.seconds,
            "lines": {file: sorted(lines) for file, lines in test.lines.items()},
        }
        for test in tests
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    _FILE.write_text(json.dumps(kept), "utf-8")


def _shared() -> str:
    """Give a digest of all that any test may run, other tests apart."""
    files = [*(REPOSITORY / "src").rglob("*.py"), *(REPOSITORY / "src").rglob("*.sql")]
    files += [file for file in (REPOSITORY / "tests").rglob("*.py") if not file.name.startswith("test_")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:16]


def _file(test: str) -> str:
    return hashlib.sha256((REPOSITORY / test.partition("::")[0]).read_bytes()).hexdigest()[:16]
