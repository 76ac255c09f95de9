"""What the search found, for people: lines for a terminal, and one HTML file that needs nothing but itself.

The plots are SVG inside the page. They are drawn in code colours, one for each role, which are then replaced by CSS
variables: so they follow the page from light to dark like the text around them.
"""

from __future__ import annotations

import dataclasses
import html
import io
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from regrow.examples.experiments import Outcome, Spec, Trial

TITLES = {
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "F1, mean of classes",
    "r2": "R²",
    "mean_absolute_error": "mean absolute error",
    "root_mean_squared_error": "root mean squared error",
}
FAMILIES = ("linear", "svm", "forest", "boosting", "neighbours")
ROLES = ("ink", "muted", "line", "band", "bad", *FAMILIES)
CODE = {role: f"#0101{number:02x}" for number, role in enumerate(ROLES, start=16)}


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
            return f"nothing was interrupted: all {self.executed} calls ran once, in one go"
        calls = f"{self.replayed} of {self.replayed + self.executed} calls were taken from the journal"
        return f"{calls} instead of being made again, which saved {duration(self.seconds_saved)}"


# ---------------------------------------------------------------------------------------------------- for a terminal


def render_text(outcome: Outcome, saved: Saved | None = None, top: int = 8) -> list[str]:
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
    return [*lines, *([str(saved)] if saved else [])]


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


def answer(failure: Trial, outcome: Outcome) -> str:
    """What the chooser made of a failure."""
    children = [trial for trial in outcome.trials if trial.spec.parent == failure.number]
    if not children:
        return "left at that"
    return "; ".join(f"#{c.number} tried instead: {c.spec}, {score(c)}" for c in children)


def measured(outcome: Outcome) -> list[tuple[str, float, float]]:
    """The metrics by the names that people use, for the winner and for guessing."""
    return [(TITLES.get(name, name), *pair) for name, pair in outcome.verdict.metrics.items()]


def score(trial: Trial) -> str:
    """A trial's score, with how much it varies between splits."""
    return "failed" if trial.score is None else f"{trial.score:.3f} ± {trial.spread or 0:.3f}"


def seconds(trial: Trial) -> str:
    """A trial's time."""
    return "" if trial.seconds is None else f"{trial.seconds:.1f}"


def number(value: float) -> str:
    """A metric: three decimals where it is a share, else four figures."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"


def duration(time: float) -> str:
    """A time span in the words that one would use."""
    if time < 60:
        return f"{time:.1f} s"
    minutes, rest = divmod(round(time), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def clip(text: str, length: int) -> str:
    """One line, not too long."""
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


# ------------------------------------------------------------------------------------------------------------ the page


def write_report(outcome: Outcome, path: Path | str, *, command: str = "", saved: Saved | None = None) -> Path:
    """Write the page.

    Args:
        outcome: what `find_best_model` returned.
        path: where to; its folder is made if need be.
        command: what to type to get this page again.
        saved: what a resumed run did not have to do.

    Returns:
        The absolute path of the page.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(outcome, command=command, saved=saved), encoding="utf-8")
    return path


def page(outcome: Outcome, *, command: str = "", saved: Saved | None = None) -> str:
    """The page as text. It holds no script and loads nothing."""
    failures = [trial for trial in outcome.trials if trial.failure]
    spent = sum(trial.seconds or 0 for trial in outcome.trials)
    (name, reached, guessed), *_ = measured(outcome)
    winner, profile = outcome.winner, outcome.profile
    cards = [
        (number(reached), f"{name}; guessing: {number(guessed)}"),
        (str(len(outcome.trials)), f"experiments in {outcome.trials[-1].round} rounds, {len(failures)} failed"),
        (duration(spent), "spent in experiments"),
    ]
    if saved and saved.replayed:
        cards.append((duration(saved.seconds_saved), f"saved: {saved.replayed} calls not made again"))
    return PAGE.format(
        css=CSS,
        title=html.escape(f"The best model for {outcome.table.name}"),
        subtitle=f"<b>{html.escape(str(winner.spec))}</b> predicts <b>{html.escape(profile.target)}</b> "
        f"on {outcome.verdict.rows:,} rows that it has never seen.",
        cards="".join(f"<li><strong>{html.escape(v)}</strong><span>{html.escape(t)}</span></li>" for v, t in cards),
        metrics=table(
            ["", "model", "guessing"],
            [[title, number(a), number(b)] for title, a, b in measured(outcome)],
            figures=[1, 2],
        ),
        guess="the commonest class" if profile.classes else "the mean",
        scores=plot_scores(outcome, name),
        legend="".join(
            f'<li><i style="background:var(--{role})"></i>{text}</li>'
            for role, text in (*zip(FAMILIES, FAMILIES, strict=True), ("bad", "failed"))
            if any(role == ("bad" if trial.failure else trial.spec.family) for trial in outcome.trials)
        ),
        best=table(
            ["#", "model", name, "round", "seconds", "why"],
            [
                [str(t.number), str(t.spec), score(t), str(t.round), seconds(t), t.spec.why]
                for t in leaderboard(outcome)[:10]
            ],
            figures=[0, 2, 3, 4],
            mark=0,
        ),
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
        timeline=plot_timeline(outcome),
        saved=html.escape(sentence(str(saved))) if saved else "",
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


def sentence(text: str) -> str:
    """A note as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."


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
        "from regrow.examples.best_model import Spec, TableRef, refit\n\n"
        f"model = refit(TableRef({', '.join(where)}), Spec({', '.join(said)}), seed={outcome.seed})"
    )


# ----------------------------------------------------------------------------------------------------------- the plots


def plot_scores(outcome: Outcome, metric: str) -> str:
    """Every experiment's score, round by round; failures lie on the floor."""
    trials = outcome.trials
    scores = [trial.score for trial in trials if trial.score is not None]
    low, high = min(scores), max(scores)
    if len(scores) > 4:  # one disaster should not press all others together: below the fence, a score lies on the floor
        first, _, third = statistics.quantiles(scores, n=4)
        low = max(low, first - 2 * (third - first))
    margin = (high - low or abs(high) or 1) * 0.12
    floor = low - margin
    figure, axes = canvas(height=3.6)
    best_of: dict[int, tuple[list[int], float]] = {}
    for round_ in sorted({trial.round for trial in trials}):
        numbers = [trial.number for trial in trials if trial.round == round_]
        if round_ % 2:
            axes.axvspan(numbers[0] - 0.5, numbers[-1] + 0.5, color=CODE["band"], linewidth=0)
        name = f"round {round_}" if len(numbers) > 0.06 * len(trials) else str(round_)
        axes.text(
            (numbers[0] + numbers[-1]) / 2, 1.02, name,
            transform=axes.get_xaxis_transform(), ha="center", va="bottom", color=CODE["muted"], fontsize=9,
        )  # fmt: skip
        best_of[round_] = (
            numbers,
            max((t.score for t in trials if t.round == round_ and t.score is not None), default=floor),
        )
    for numbers, best in best_of.values():
        axes.plot([numbers[0] - 0.5, numbers[-1] + 0.5], [best, best], color=CODE["line"], linewidth=1, zorder=1)
    for trial in trials:
        hidden = trial.score is None or trial.score < low
        value = floor if hidden or trial.score is None else trial.score
        axes.scatter(
            trial.number, value, s=34, zorder=3, clip_on=False, gid=f"trial-{trial.number}",
            marker="x" if trial.failure else "v" if hidden else "o", linewidths=1.6 if trial.failure else 0,
            color=CODE["bad" if trial.failure else trial.spec.family],
        )  # fmt: skip
        if not hidden and trial.spread:
            axes.plot(
                [trial.number] * 2, [max(value - trial.spread, floor), value + trial.spread],
                color=CODE[trial.spec.family], alpha=0.3, linewidth=1.4, zorder=2,
            )  # fmt: skip
    winner = outcome.winner
    axes.scatter(
        winner.number, winner.score or 0, s=130, facecolor="none", edgecolor=CODE["ink"], linewidth=1.2, zorder=4
    )
    axes.set_xlim(trials[0].number - 0.5, trials[-1].number + 0.5)
    axes.set_ylim(floor, high + 2 * margin)
    axes.set_xlabel("experiment")
    return svg(figure, "scores", f"{metric} of each experiment by round", tooltips(outcome))


def plot_importance(outcome: Outcome, metric: str, top: int = 12) -> str:
    """What the winner loses when one column is shuffled."""
    importance = list(outcome.verdict.importance.items())[:top]
    figure, axes = canvas(height=0.5 + 0.27 * len(importance))
    for row, (_, loss) in enumerate(reversed(importance)):
        axes.barh(row, max(loss, 0), height=0.62, color=CODE[outcome.winner.spec.family], linewidth=0)
        axes.annotate(
            f"{loss:.3f}", (max(loss, 0), row), (5, 0),
            textcoords="offset points", va="center", color=CODE["muted"], fontsize=9,
        )  # fmt: skip
    axes.set_yticks(range(len(importance)), [clip(column, 32) for column, _ in reversed(importance)])
    axes.set_xlim(0, max(1e-9, *(loss for _, loss in importance)) * 1.12)
    axes.set_ylim(-0.6, len(importance) - 0.4)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    return svg(figure, "importance", f"loss of {metric} when a column is shuffled", {})


def plot_timeline(outcome: Outcome) -> str:
    """When each experiment ran. Where none did for long, as after a kill, the time is cut short and said."""
    ran = [(t, t.started, t.started + (t.seconds or 0)) for t in outcome.trials if t.started is not None]
    if not ran:
        return ""
    place, pauses = cut_pauses([(start, end) for _, start, end in ran])
    figure, axes = canvas(height=0.55 + 0.115 * len(ran))
    last = max(place(end) for *_, end in ran)
    for row, (trial, start, end) in enumerate(ran):
        axes.barh(
            row, max(place(end) - place(start), last / 400), left=place(start), height=0.78, linewidth=0,
            color=CODE["bad" if trial.failure else trial.spec.family], gid=f"trial-{trial.number}",
        )  # fmt: skip
        if row and trial.round != ran[row - 1][0].round:
            axes.axhline(row - 0.5, color=CODE["line"], linewidth=0.8)
    for start, end, length in pauses:
        axes.axvspan(start, end, color=CODE["band"], linewidth=0, zorder=0)
        axes.text(
            (start + end) / 2, 1.01, f"pause: {duration(length)}",
            transform=axes.get_xaxis_transform(), ha="center", va="bottom", color=CODE["muted"], fontsize=9,
        )  # fmt: skip
    rounds = sorted({trial.round for trial, *_ in ran})
    middles = [
        statistics.fmean(row for row, (trial, *_) in enumerate(ran) if trial.round == number) for number in rounds
    ]
    axes.set_yticks(middles, [f"round {number}" for number in rounds])
    axes.set_ylim(len(ran) - 0.4, -0.6)
    axes.set_xlim(0, last * 1.01)
    axes.set_xlabel("seconds, pauses cut short" if pauses else "seconds")
    return svg(figure, "timeline", "when each experiment ran", tooltips(outcome))


def cut_pauses(spans: list[tuple[float, float]]) -> tuple[Any, list[tuple[float, float, float]]]:
    """Map clock times to places on an axis that no pause stretches; and the pauses: from, to, and their true length."""
    spans = sorted(spans)
    begin, busy_until = spans[0][0], spans[0][1]
    gaps: list[tuple[float, float]] = []
    for start, end in spans:
        if start > busy_until:
            gaps.append((busy_until, start))
        busy_until = max(busy_until, end)
    busy = busy_until - begin - sum(end - start for start, end in gaps)
    shown = max(0.05 * busy, 0.1)
    long = [(start, end) for start, end in gaps if end - start > max(1.5, shown)]

    def place(time: float) -> float:
        cut = sum(min(max(time - start, 0), end - start) * (1 - shown / (end - start)) for start, end in long)
        return time - begin - cut

    return place, [(place(start), place(end), end - start) for start, end in long]


def tooltips(outcome: Outcome) -> dict[str, str]:
    """What a pointer that rests on a trial is told."""
    return {
        f"trial-{t.number}": f"#{t.number} {t.spec}: {clip(t.failure, 120) if t.failure else score(t)}"
        + (f", {t.seconds:.1f} s" if t.seconds is not None else "")
        for t in outcome.trials
    }


def canvas(height: float) -> tuple[Figure, Any]:
    """An empty plot in the page's manner: no frame, a faint line at the foot."""
    figure = Figure(figsize=(9.2, max(height, 1.4)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(CODE["line"])
    axes.tick_params(colors=CODE["muted"], labelsize=9, length=0)
    axes.xaxis.label.set(color=CODE["muted"], fontsize=9)
    return figure, axes


_SURPLUS = re.compile(
    r"""<metadata>.*?</metadata>|<!--.*?-->|[ ]xmlns(:\w+)?="[^"]*"|[ ](width|height)="[\d.]+pt\"""", re.DOTALL
)


def svg(figure: Figure, name: str, label: str, titles: dict[str, str]) -> str:
    """A figure as an element of the page: it scales, follows the colours, is read out, and shares no id."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False, "font.size": 10}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = _SURPLUS.sub("", text)
    text = text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
    for trial, title in titles.items():
        text = text.replace(f'<g id="{trial}">', f'<g id="{trial}"><title>{html.escape(title)}</title>')
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for role, code_ in CODE.items():
        text = text.replace(code_, f"var(--{role})")
    return text


# ------------------------------------------------------------------------------------------------------------- its form

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<main>
<header>
<h1>{title}</h1>
<p class="lead">{subtitle}</p>
</header>
<ul class="cards">{cards}</ul>
<section>
<h2>How good it is</h2>
<p>Measured on rows that were put aside before the search began. Guessing always gives {guess}.</p>
{metrics}
</section>
<section>
<h2>The search</h2>
<p>Each round has fewer experiments on more data: what did well, and what grew from it. Scores compare within a round;
a thin line marks the best of each, the ring the winner. A triangle stands for a score far below the plot.</p>
<ul class="legend">{legend}</ul>
<figure>{scores}</figure>
<h3>The best experiments</h3>
{best}
<h3>How the winner came about</h3>
<ol class="lineage">{lineage}</ol>
</section>
<section>
<h2>What the winner looks at</h2>
<p>How much it loses on the unseen rows when one column is shuffled. Columns that tell the same share the loss.</p>
<figure>{importance}</figure>
</section>
<section>
<h2>What failed, and what was done about it</h2>
{failures}
</section>
<section>
<h2>When each experiment ran</h2>
<p>{saved}</p>
<ul class="legend">{legend}</ul>
<figure>{timeline}</figure>
</section>
<section>
<h2>The table</h2>
<p>{about}</p>
<ul>{notes}</ul>
<details><summary>Its columns</summary>{columns}</details>
</section>
<section>
<h2>How to reproduce this</h2>
<p>Interrupted, the same command goes on with the same run. Begun afresh, the same seed finds the same.</p>
<pre>{command}</pre>
<p>The fitted model, a scikit-learn pipeline, in Python:</p>
<pre>{code}</pre>
</section>
<footer>run {run} · begun {when} · seed {seed} · table {digest}</footer>
</main>
</body>
</html>
"""

CSS = """
:root {
  --page: #fbfaf8; --panel: #ffffff; --band: #f3f3f1; --mark: #edf2fd;
  --ink: #1d2129; --muted: #687080; --line: #d8dae0; --bad: #c92a2a;
  --linear: #3b6fd4; --svm: #d9620f; --forest: #2b8a3e; --boosting: #7048e8; --neighbours: #0c8599;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161b; --panel: #1b1e25; --band: #21252d; --mark: #232c40;
    --ink: #e6e8ec; --muted: #97a0b0; --line: #343a46; --bad: #ff7b72;
    --linear: #7aa7ff; --svm: #ffa45c; --forest: #74cf82; --boosting: #b69cff; --neighbours: #56c7d8;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 60rem; margin: 0 auto; padding: 3.5rem 1.25rem 2rem; }
h1 { font-size: 2.1rem; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 0.5rem; }
h2 { font-size: 1.25rem; letter-spacing: -0.01em; margin: 0 0 0.6rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 0.4rem; }
p { margin: 0 0 0.8rem; max-width: 46rem; text-wrap: pretty; }
section > p { color: var(--muted); }
.lead { font-size: 1.12rem; color: var(--muted); margin: 0; }
.lead b { color: var(--ink); font-weight: 600; }
section, .cards li { background: var(--panel); border: 1px solid var(--line); border-radius: 12px; }
section { padding: 1.5rem 1.6rem; margin: 1.1rem 0; }
.cards { list-style: none; padding: 0; margin: 2rem 0 1.1rem; display: grid; gap: 0.9rem;
  grid-template-columns: repeat(auto-fit, minmax(12.5rem, 1fr)); }
.cards li { padding: 1rem 1.2rem; }
.cards strong { display: block; font-size: 1.75rem; line-height: 1.25; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; }
.cards span { color: var(--muted); font-size: 0.88rem; }
.cards li:first-child strong { color: var(--forest); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { padding: 0.42rem 0.9rem 0.42rem 0; border-bottom: 1px solid var(--line); text-align: left; }
td { vertical-align: top; }
th { color: var(--muted); font-weight: 500; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
td:last-child, th:last-child { padding-right: 0.5rem; }
td:first-child, th:first-child { padding-left: 0.5rem; }
.figure { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:nth-child(2), td:last-child:not(.figure) { min-width: 9rem; }
.mark td { background: var(--mark); font-weight: 600; }
figure { margin: 0.4rem 0 0; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 36rem; height: auto; }
svg text { font-family: inherit !important; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; padding: 0; margin: 0.2rem 0 0.6rem;
  font-size: 0.85rem; color: var(--muted); }
.legend i { display: inline-block; width: 0.65rem; height: 0.65rem; border-radius: 50%; margin-right: 0.4rem; }
.lineage { margin: 0; padding-left: 2.6rem; font-size: 0.9rem; }
.lineage li::marker { color: var(--muted); font-variant-numeric: tabular-nums; }
.lineage b { font-weight: 600; font-variant-numeric: tabular-nums; margin: 0 0.5rem; }
.lineage span { color: var(--muted); }
pre { background: var(--band); border-radius: 8px; padding: 0.8rem 1rem; overflow-x: auto; margin: 0 0 1rem;
  font: 0.85rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
details { margin-top: 0.6rem; }
summary { cursor: pointer; color: var(--muted); }
ul:empty, p:empty { display: none; }
footer { color: var(--muted); font-size: 0.8rem; padding: 1rem 0.2rem 2rem; overflow-wrap: anywhere; }
@media print { section, .cards li { break-inside: avoid; } main { max-width: none; padding: 0; } }
"""
