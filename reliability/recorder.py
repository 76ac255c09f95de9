"""A pytest plugin that writes down what became of each test: `-p reliability.recorder --record-to FILE`.

A line of JSON is written as soon as a test has ended, so that a campaign that is killed leaves what it had found.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from reliability.outcomes import Outcome


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the file's name."""
    parser.addoption("--record-to", metavar="FILE", required=True, help="append a line of JSON for each test")


def pytest_configure(config: pytest.Config) -> None:
    """Begin."""
    config.pluginmanager.register(_Recorder(Path(config.getoption("--record-to")).absolute()))


class _Recorder:
    def __init__(self, place: Path) -> None:
        self._place = place
        self._reports: list[pytest.TestReport] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            promises = {name for marker in item.iter_markers("promise") for name in marker.args}
            item.user_properties.append(("promises", tuple(sorted(promises))))
            item.user_properties.append(("is_control", item.get_closest_marker("control") is not None))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)
        if report.when == "teardown":
            reports, self._reports = self._reports, []
            with self._place.open("ab") as file:
                file.write(msgspec.json.encode(_outcome(reports)) + b"\n")


def _outcome(reports: Sequence[pytest.TestReport]) -> Outcome:
    properties: dict[str, Any] = dict(reports[-1].user_properties)
    ended: Literal["passed", "failed", "skipped"] = "passed"
    reason = ""
    for report in reports:
        if report.failed:
            ended, reason = "failed", _why_failed(report)
            break
        if report.skipped:
            ended, reason = "skipped", _why_skipped(report)
    return Outcome(
        reports[-1].nodeid,
        ended,
        reason,
        promises=properties["promises"],
        is_control=properties["is_control"],
        figures=tuple(value for name, value in reports[-1].user_properties if name == "figures"),
    )


def _why_failed(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash is not None else str(report.longrepr)
    return said.strip().partition("\n")[0]


def _why_skipped(report: pytest.TestReport) -> str:
    if expected := getattr(report, "wasxfail", None):
        return f"expected to fail: {expected.removeprefix('reason: ')}"
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")
