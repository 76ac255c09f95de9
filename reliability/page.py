"""The page: what was last seen of each promise and of each campaign, as Markdown. Results in, text out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from reliability.campaigns import CAMPAIGNS, OTHER_TESTS, Campaign
from reliability.mutation import Mutation
from reliability.outcomes import Control, File
from reliability.promises import PROMISES, Promise
from reliability.results import Result

_HEAD = """\
# Reliability

What regrow promises, the tests behind each promise, and what they have come to. `make reliability` runs the campaigns
and writes this page; nobody edits it, and a test compares it with the results that it was made of
(`reliability/last/`). A campaign can be run again alone, so each figure says when, and at which commit of this
repository, it was measured. *Violations* are everything that a promise excludes, of as many times as it could have
happened.
"""


def page(results: Mapping[str, Result], mutation: Mutation | None = None) -> str:
    """Write the page.

    Args:
        results: what was last seen, by campaign.
        mutation: what was last seen of mutants.
    """
    blocks = [
        _HEAD,
        "## At a glance\n",
        _glance(results, mutation),
        "## Campaign by campaign\n",
        *(block for one in CAMPAIGNS for block in _campaign(one, results.get(one.name))),
        *_mutants(mutation),
        "## Promise by promise\n",
        _prose("A test says itself which promise it holds; `pytest -m promise` runs those that do."),
        _promises(results),
        *(block for promise in PROMISES for block in _promise(promise, results)),
        *_other_controls(results.get(OTHER_TESTS.name)),
    ]
    return "\n".join(blocks)


def _glance(results: Mapping[str, Result], mutation: Mutation | None) -> str:
    rows = []
    for campaign in CAMPAIGNS:
        result = results.get(campaign.name)
        name = f"[{campaign.title}](#{_anchor(campaign.title)})"
        if result is None:
            rows.append((name, "not run yet", "", ""))
        elif result.why_none:
            rows.append((name, f"no figures: {result.why_none}", "", result.measured.describe()))
        else:
            rows.append((name, *_told(campaign, result), result.measured.describe()))
    if mutation is not None:
        rows.append(("[Mutants](#mutants)", mutation.tried_in_words(), mutation.unexplained(), f"at {mutation.commit}"))
    return _table(("campaign", "what was tried", "violations", "measured"), rows)


def _told(campaign: Campaign, result: Result) -> tuple[str, str]:
    """Say what was tried, and what went wrong."""
    if result.figures is not None:
        failed = f"; tests failed: {len(result.failed)}" if result.failed else ""
        words = result.figures.in_words()
        return words.tried, words.violations + failed
    sizes = ", ".join(f"`{name}={value}`" for name, value in campaign.sizes.items())
    return f"{result.tests:,} tests at {sizes}", f"{len(result.failed):,} of {result.tests:,} tests"


def _promises(results: Mapping[str, Result]) -> str:
    rows = []
    for promise in PROMISES:
        files = [file for result in results.values() for file in result.files if file.promise == promise.name]
        failed, skipped = sum(file.failed for file in files), sum(sum(file.skipped.values()) for file in files)
        counts = (len(files), sum(file.tests for file in files), failed, skipped)
        rows.append((f"[{promise.name}](#{_anchor(promise.name)})", *(f"{count:,}" for count in counts)))
    return _table(("promise", "files", "tests", "failed", "skipped"), rows)


def _promise(promise: Promise, results: Mapping[str, Result]) -> Iterable[str]:
    yield f"### {promise.name}\n"
    yield _prose(promise.words, before="> ")
    if promise.not_yet:
        yield _prose(f"Not here yet, and tried by nothing below: {promise.not_yet}.")
    rows = [_file(file, result) for result in results.values() for file in result.files if file.promise == promise.name]
    yield _table(("tests", "number", "passed", "failed", "skipped", "measured"), sorted(rows))


def _file(file: File, result: Result) -> tuple[str, ...]:
    skipped = "; ".join(f"{count}: {reason}" for reason, count in file.skipped.items())
    return (
        _link(file.path),
        f"{file.tests:,}",
        f"{file.passed:,}",
        f"{file.failed:,}",
        skipped or "0",
        result.measured.describe(),
    )


def _campaign(campaign: Campaign, result: Result | None) -> Iterable[str]:
    yield f"### {campaign.title}\n"
    yield _prose(campaign.about)
    yield f"To repeat: `{campaign.command}`\n"
    if result is None:
        yield "Not run yet.\n"
        return
    took = f"{result.measured.seconds / 60:.1f} minutes"
    yield f"Measured on {result.measured.describe()} in {took}: {result.measured.host}.\n"
    if result.why_none:
        yield _prose(f"No figures: {result.why_none}.")
    else:
        rows = result.figures.in_words().rows if result.figures is not None else [("tests", f"{result.tests:,}")]
        yield _table(("what", "figure"), [*rows, ("violations", _told(campaign, result)[1])])
    if result.failed:
        yield "".join(f"- **failed:** `{test}`\n" for test in result.failed)
    if result.controls:
        yield _prose("Negative controls: each plants what the campaign must find, or takes a safeguard away.")
        yield _controls(result.controls)


def _mutants(mutation: Mutation | None) -> Iterable[str]:
    if mutation is None:
        return
    yield "### Mutants\n"
    yield _prose(
        "Copies of `engine/` and `journal/` with one small fault each. One that no test notices shows that a test is "
        "missing, or it makes no difference; [Mutation testing](mutation.md) has each of these with its reason."
    )
    yield "To repeat: `make mutate`\n"
    yield f"Measured at {mutation.commit}: Python {mutation.python}.\n"
    yield _table(("what", "figure"), mutation.rows())


def _other_controls(result: Result | None) -> Iterable[str]:
    if result is not None and result.controls:
        yield "### Other negative controls\n"
        yield _prose(
            "Tests beside those above that plant a bug, or take a safeguard away, and must see what comes of it."
        )
        yield _controls(result.controls)


def _controls(controls: Sequence[Control]) -> str:
    said = {True: "found", False: "**not found**", None: "not tried here"}
    return "".join(f"- `{one.name}`: {said[one.has_found]}\n" for one in controls)


def _prose(text: str, before: str = "") -> str:
    """Break a paragraph into lines, and end it."""
    lines = textwrap.wrap(text, 120, initial_indent=before, subsequent_indent=before, break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(head), "|---" * len(head) + "|", *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _link(path: str) -> str:
    return f"[{path.removeprefix('tests/')}](../{path})"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
