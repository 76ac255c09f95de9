"""Running campaigns: pytest in a process of its own, and what its tests have handed over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from reliability import measured
from reliability.campaigns import Campaign
from reliability.measured import REPOSITORY
from reliability.outcomes import Outcome, by_file, controls
from reliability.results import Result

_LONGEST_MINUTES = 60
"""A campaign that is not over by then is stuck."""
_SOME_FAILED = 1
"""What pytest exits with if all tests ran."""

Tell = Callable[[str], None]


class CampaignBroke(Exception):
    """A campaign came to no end from which anything could be concluded."""


def run(campaigns: Iterable[Campaign], *, quick: bool, tell: Tell) -> Iterator[Result]:
    """Run campaigns, one after another: some of them tell what they see by the clock, and are not to be held up.

    Args:
        campaigns: which.
        quick: small ones.
        tell: is told of progress, a line at a time.

    Yields:
        What a campaign came to, as soon as it has.

    Raises:
        CampaignBroke: some came to no end; raised after all others have.
    """
    broken: list[str] = []
    for one in campaigns:
        try:
            yield _run(one, quick=quick, tell=tell)
        except CampaignBroke as broke:
            broken.append(str(broke))
    if broken:
        raise CampaignBroke("\n".join(broken))


def _run(campaign: Campaign, *, quick: bool, tell: Tell) -> Result:
    tell(f"{campaign.name} …")
    tests = campaign.quick_tests if quick and campaign.quick_tests else campaign.tests
    begun = time.monotonic()
    outcomes = _outcomes(campaign.name, tests, campaign.quick if quick else campaign.sizes, tell)
    result = conclude(campaign, outcomes, measured.now(time.monotonic() - begun))
    tell(f"{campaign.name}: {describe(result)}; {result.measured.seconds:.0f} s")
    return result


def conclude(campaign: Campaign, outcomes: Iterable[Outcome], at: measured.Measured) -> Result:
    """Say what the outcomes of a campaign's tests come to."""
    ended = list(outcomes)
    handed = [figures for one in ended for figures in one.figures]
    return Result(
        campaign.name,
        at,
        tests=sum(one.ended != "skipped" for one in ended),
        figures=campaign.figures(handed) if campaign.figures is not None and handed else None,
        why_none="" if handed or (campaign.figures is None and not _were_skipped(ended)) else _why_none(ended),
        files=by_file(ended),
        controls=controls(ended),
        failed=tuple(one.test for one in ended if one.ended == "failed"),
    )


def describe(result: Result) -> str:
    """Say in a line how a campaign has ended."""
    if result.failed:
        return f"FAILED: {', '.join(result.failed)}"
    if result.figures is not None:
        words = result.figures.in_words()
        return f"{words.tried}; violations: {words.violations}"
    return result.why_none or f"{result.tests} tests passed"


def _were_skipped(ended: list[Outcome]) -> bool:
    return all(one.ended == "skipped" for one in ended)


def _why_none(ended: list[Outcome]) -> str:
    """Give the reason of the test that should have handed figures over: of those, the first that was not passed."""
    reasons = [one.reason for one in sorted(ended, key=lambda one: not one.promises) if one.ended != "passed"]
    return reasons[0] if reasons else "no test has handed any over"


def _outcomes(name: str, tests: tuple[str, ...], sizes: Mapping[str, str], tell: Tell) -> list[Outcome]:
    # What somebody has set for a run of their own must not make this one smaller than the page says.
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("REGROW_")} | dict(sizes)
    with tempfile.TemporaryDirectory(prefix="regrow-reliability-") as folder:
        record, log = Path(folder, "record"), Path(folder, "log")
        recording = ("-p", "reliability.recorder", "--record-to", str(record))
        options = ("-q", "-p", "no:cacheprovider", "-o", "faulthandler_timeout=0", "--show-capture=stdout")
        with log.open("wb") as output:
            pytest = subprocess.Popen(  # noqa: S603 - what `campaigns` lists
                [sys.executable, "-m", "pytest", *tests, *recording, *options],
                cwd=REPOSITORY,
                env=surroundings,
                stdout=output,
                stderr=output,
            )
        status = _wait(name, pytest, tell)
        if status is None:
            _stop(pytest)
        if status not in (0, _SOME_FAILED) or not record.exists():
            ended = f"was not over after {_LONGEST_MINUTES} min" if status is None else f"ended with {status}"
            raise CampaignBroke(f"{name}: pytest {ended}\n{_end_of(log)}")
        if status == _SOME_FAILED:
            tell(_end_of(log))
        return [msgspec.json.decode(line, type=Outcome) for line in record.read_bytes().splitlines()]


def _wait(name: str, pytest: subprocess.Popen[bytes], tell: Tell) -> int | None:
    for minutes in range(1, _LONGEST_MINUTES + 1):
        try:
            return pytest.wait(60.0)
        except subprocess.TimeoutExpired:
            tell(f"{name}: {minutes} min …")
    return None


def _stop(pytest: subprocess.Popen[bytes]) -> None:
    pytest.send_signal(signal.SIGINT)  # so that its tests stop what they have started
    try:
        pytest.wait(60.0)
    except subprocess.TimeoutExpired:
        pytest.kill()
        pytest.wait()


def _end_of(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-20_000:]
