"""What the search found, for people: lines for a terminal, and one HTML file that needs nothing but itself."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from regrow.examples import healed
from regrow.examples.experiments import Outcome, Spec, Trial
from regrow.examples.healed import answer
from regrow.examples.page import CSS, PAGE, WORKERS
from regrow.examples.plots import FAMILIES, plot_importance, plot_scores
from regrow.examples.timeline import plot_workers
from regrow.examples.wording import clip, duration, number, score, seconds, sentence
from regrow.insight.attempts import AttemptLine

TITLES = {
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "F1, mean of classes",
    "r2": "R²",
    "mean_absolute_error": "mean absolute error",
    "root_mean_squared_error": "root mean squared error",
}


@dataclass(frozen=True)
class Saved:
    """What was not done again because the journal had it.

    Attributes:
        executed: recorded calls whose body ran in this process.
        replayed: recorded calls that were answered from the journal.
        seconds_saved: how long the replayed ones had taken.
    """

    executed: int
    replayed: int
    seconds_saved: float

    def __str__(self) -> str:
        if not self.replayed:
            return f"the search was not interrupted: its {self.executed} calls were made in one go"
        calls = f"{self.replayed} of {self.replayed + self.executed} calls were taken from the journal"
        return f"{calls} instead of being made again, which saved {duration(self.seconds_saved)}"


# ---------------------------------------------------------------------------------------------------- for a terminal


def render_text(
    outcome: Outcome, saved: Saved | None = None, attempts: Sequence[AttemptLine] = (), top: int = 8
) -> list[str]:
    """The result as lines of plain text, none of them with a colour or a trailing blank."""
    lines = [f"The best model for {outcome.table.name}: {outcome.winner.spec}", ""]
    checked = f"on {outcome.verdict.rows:,} rows that it has never seen"
    metrics = [[name, number(model), number(guess)] for name, model, guess in measured(outcome)]
    lines += [*columns([[checked, "model", "guessing"], *metrics]), ""]
    rows = [[f"#{t.number}", str(t.spec), score(t), str(t.round), seconds(t)] for t in leaderboard(outcome)[:top]]
    title = f"cross-validated {measured(outcome)[0][0]}"
    lines += [*columns([["", "the best experiments", title, "round", "seconds"], *rows]), ""]
    failures = [trial for trial in outcome.trials if trial.failure]
    lines.append(f"{len(outcome.trials)} experiments in {outcome.trials[-1].round} rounds, {len(failures)} failed")
    lines += [f"  #{t.number} {t.spec}: {clip(t.failure or '', 120)}; {answer(t, outcome)}" for t in failures]
    if told := healed.stories(attempts, outcome):
        lines += ["", "what happened to the workers, and how it was healed"]
        lines += [f"  {story.who}: {story.what}; {story.done}" for story in told]
        lines += [f"  {line}" for line in [healed.staged(attempts)] if line]
    return [*lines, *(["", str(saved)] if saved else [])]


def columns(rows: list[list[str]]) -> list[str]:
    """Align: a table's second column of all, and the first of a narrow one, to the left, and figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = 1 if len(rows[0]) > 3 else 0
    return [
        "  ".join(
            cell.ljust(w) if i <= left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


# ------------------------------------------------------------------------------------------------ what there is to tell


def leaderboard(outcome: Outcome) -> list[Trial]:
    """Each idea once, as it was last judged; the later round first, for scores of different rounds do not compare."""
    latest = {trial.spec: trial for trial in outcome.trials if trial.score is not None}
    return sorted(latest.values(), key=lambda trial: (-trial.round, -(trial.score or 0), trial.number))


def lineage(outcome: Outcome) -> list[Trial]:
    """The winner, and before it all that it grew from."""
    of = {trial.number: trial for trial in outcome.trials}
    line = [outcome.winner]
    while (parent := line[0].spec.parent) in of and of[parent] not in line:
        line.insert(0, of[parent])
    return line


def measured(outcome: Outcome) -> list[tuple[str, float, float]]:
    """The metrics by the names that people use, for the winner and for guessing."""
    return [(TITLES.get(name, name), *pair) for name, pair in outcome.verdict.metrics.items()]


# ------------------------------------------------------------------------------------------------------------ the page


def write_report(
    outcome: Outcome,
    path: Path | str,
    *,
    command: str = "",
    saved: Saved | None = None,
    attempts: Sequence[AttemptLine] = (),
) -> Path:
    """Write the page.

    Args:
        outcome: what `find_best_model` returned.
        path: where to; its folder is made if need be.
        command: what to type to get this page again.
        saved: what a resumed run did not have to do.
        attempts: what the journal tells of the run's workers; see `regrow.insight.attempts.attempts_of`.

    Returns:
        The absolute path of the page.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(outcome, command=command, saved=saved, attempts=attempts), encoding="utf-8")
    return path


def page(
    outcome: Outcome, *, command: str = "", saved: Saved | None = None, attempts: Sequence[AttemptLine] = ()
) -> str:
    """The page as text. It holds no script and loads nothing."""
    failures = [trial for trial in outcome.trials if trial.failure]
    (name, *_), *_ = measured(outcome)
    winner, profile = outcome.winner, outcome.profile
    return PAGE.format(
        css=CSS,
        title=html.escape(f"The best model for {outcome.table.name}"),
        subtitle=f"<b>{html.escape(str(winner.spec))}</b> predicts <b>{html.escape(profile.target)}</b> "
        f"on {outcome.verdict.rows:,} rows that it has never seen.",
        cards=cards(outcome, saved, attempts),
        metrics=table(
            ["", "model", "guessing"],
            [[title, number(a), number(b)] for title, a, b in measured(outcome)],
            figures=[1, 2],
        ),
        guess="the commonest class" if profile.classes else "the mean",
        scores=plot_scores(outcome, name),
        legend=legend(outcome),
        best=best(outcome, name),
        lineage="".join(
            f"<li value={t.number}>{html.escape(str(t.spec))} <b>{score(t)}</b> "
            f"<span>round {t.round}: {html.escape(t.spec.why)}</span></li>"
            for t in lineage(outcome)
        ),
        importance=plot_importance(outcome, name),
        failures=table(
            ["#", "model", "what happened", "what was done"],
            [[str(t.number), str(t.spec), clip(t.failure or "", 300), answer(t, outcome)] for t in failures],
            figures=[0],
        )
        if failures
        else "<p>Every experiment gave a score.</p>",
        workers=workers(outcome, attempts, saved),
        epochs=table(
            ["epoch", "attempt", f"{name} on unseen rows", "seconds"],
            [[str(e.number), str(e.attempt), number(e.score), f"{e.seconds:.2f}"] for e in outcome.verdict.epochs],
            figures=[0, 1, 2, 3],
        ),
        about=html.escape(about(outcome)),
        columns=table(
            ["column", "kind", "missing", "distinct"],
            [[c.name, c.kind, f"{c.missing:,}", f"{c.distinct:,}"] for c in profile.columns],
            figures=[2, 3],
        ),
        notes="".join(f"<li>{html.escape(sentence(note))}</li>" for note in profile.notes),
        command=html.escape(command or f"regrow show {outcome.run}"),
        code=html.escape(code(outcome)),
        run=html.escape(outcome.run),
        when=f"{outcome.started:%Y-%m-%d %H:%M} {outcome.started:%Z}",
        digest=outcome.profile.digest[:16],
        seed=outcome.seed,
    )


def cards(outcome: Outcome, saved: Saved | None, attempts: Sequence[AttemptLine]) -> str:
    """The figures at the top of the page."""
    (name, reached, guessed), *_ = measured(outcome)
    failed = sum(1 for trial in outcome.trials if trial.failure)
    spent = sum(trial.seconds or 0 for trial in outcome.trials)
    figures = [
        (number(reached), f"{name}; guessing: {number(guessed)}"),
        (str(len(outcome.trials)), f"experiments in {outcome.trials[-1].round} rounds, {failed} failed"),
        (duration(spent), "spent in experiments"),
    ]
    if saved and saved.replayed:
        figures.append((duration(saved.seconds_saved), f"saved: {saved.replayed} calls not made again"))
    if told := healed.stories(attempts, outcome):
        figures.append((str(len(told)), "times a worker died or needed more memory"))
    return "".join(
        f"<li><strong>{html.escape(figure)}</strong><span>{html.escape(meaning)}</span></li>"
        for figure, meaning in figures
    )


def best(outcome: Outcome, metric: str) -> str:
    """The table of the best experiments, the winner marked."""
    rows = [
        [str(t.number), str(t.spec), score(t), str(t.round), seconds(t), t.spec.why] for t in leaderboard(outcome)[:10]
    ]
    return table(["#", "model", metric, "round", "seconds", "why"], rows, figures=[0, 2, 3, 4], mark=0)


def workers(outcome: Outcome, attempts: Sequence[AttemptLine], saved: Saved | None) -> str:
    """The part of the page that tells what became of the workers; empty where nothing is known of them."""
    timeline = plot_workers(outcome, attempts)
    if not timeline:
        return ""
    told = healed.stories(attempts, outcome)
    return WORKERS.format(
        limits=html.escape(healed.limits(attempts)),
        staged=html.escape(healed.staged(attempts)),
        saved=html.escape(sentence(str(saved))) if saved else "",
        healed=table(
            ["whose", "what happened", "evidence", "what was done"],
            [[story.who, story.what, story.evidence, story.done] for story in told],
            figures=[],
        )
        if told
        else "<p>No worker died, and none needed more than it was given at first.</p>",
        legend=legend(outcome),
        timeline=timeline,
    )


def legend(outcome: Outcome) -> str:
    """What the plots' colours mean; only those that occur."""
    return "".join(
        f'<li><i style="background:var(--{role})"></i>{text}</li>'
        for role, text in (*zip(FAMILIES, FAMILIES, strict=True), ("bad", "failed"))
        if any(role == ("bad" if trial.failure else trial.spec.family) for trial in outcome.trials)
    )


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, figures: Sequence[int], mark: int | None = None
) -> str:
    """An HTML table; columns of figures are aligned for comparing, and one row may be marked."""

    def line(cells: Sequence[str], tag: str, row: int | None = None) -> str:
        marked = ' class="mark"' if row is not None and row == mark else ""
        inside = "".join(
            f"<{tag}{' class=figure' if i in figures else ''}>{html.escape(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        )
        return f"<tr{marked}>{inside}</tr>"

    body = "".join(line(row, "td", index) for index, row in enumerate(rows))
    return f'<div class="scroll"><table><thead>{line(head, "th")}</thead><tbody>{body}</tbody></table></div>'


def about(outcome: Outcome) -> str:
    """The table in one sentence."""
    profile = outcome.profile
    kinds = [
        f"{len(names):,} columns of {kind}s" if len(names) > 1 else f"1 column of {kind}s"
        for kind in ("number", "text")
        if (names := profile.names(kind))
    ]
    missing = sum(column.missing for column in profile.columns)
    classes = ", ".join(f"{name} ({count:,} rows)" for name, count in list(profile.classes.items())[:12])
    target = f"one of {len(profile.classes)} classes: {classes}" if profile.classes else "a number"
    gaps = f"{missing:,} missing values, filled with what is usual" if missing else "no missing value"
    return f"{profile.rows:,} rows, {' and '.join(kinds)}, {gaps}. {profile.target!r} is {target}."


def code(outcome: Outcome) -> str:
    """The lines of Python that give the fitted winner."""
    spec = outcome.winner.spec
    said = [
        f"{part.name}={getattr(spec, part.name)!r}"
        for part in dataclasses.fields(Spec)
        if part.compare and getattr(spec, part.name) != part.default
    ]
    where = [repr(part) for part in (outcome.table.source, outcome.table.target) if part]
    return (
        "from regrow.examples.experiments import Spec, TableRef, refit\n\n"
        f"model = refit(TableRef({', '.join(where)}), Spec({', '.join(said)}), seed={outcome.seed})"
    )
