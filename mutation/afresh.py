"""Mutants that show when their module is imported: each in a child that has not imported regrow yet."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader

import pytest

from mutation.laboratory import KnownTest
from mutation.mutants import Mutant
from mutation.trials import Say, begins

QUIETLY = ("-q", "-p", "no:cacheprovider", "--assert=plain", "--tb=native", "--show-capture=no")
"""That a test fails is all that matters here; telling why would take most of the time."""


class _MutantLoader(SourceFileLoader):
    """Loads a mutant where the module should be."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        super().__init__(name, str(mutant.file))
        self._mutant = mutant

    def get_code(self, fullname: str) -> types.CodeType:  # noqa: ARG002 - importlib's own signature
        return self._mutant.code()


class _MutantFinder(MetaPathFinder):
    """Finds one module, in its mutated form."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = "regrow." + mutant.module.removesuffix(".py").replace("/", ".")

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - importlib's own signature
        target: types.ModuleType | None = None,  # noqa: ARG002 - as above
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, loader=_MutantLoader(fullname, self._mutant))


class _Speaker:
    """Says which test begins."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._say(begins(nodeid))


def body(mutant: Mutant, tests: list[KnownTest], say: Say) -> bool:
    """Import the mutant, and run tests in a session of their own."""
    assert "regrow" not in sys.modules  # noqa: S101 - else the mutant would never be seen
    sys.meta_path.insert(0, _MutantFinder(mutant))
    return pytest.main([*QUIETLY, "-x", *(test.name for test in tests)], plugins=[_Speaker(say)]) == pytest.ExitCode.OK
