"""The plots, as SVG inside the page.

They are drawn in code colours, one for each role, which are then replaced by CSS variables: so they follow the page
from light to dark like the text around them.
"""

from __future__ import annotations

import html
import io
import re
import statistics
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from regrow.examples.experiments import Outcome
from regrow.examples.wording import clip, score

FAMILIES = ("linear", "svm", "forest", "boosting", "neighbours")
ROLES = ("ink", "muted", "line", "band", "bad", *FAMILIES)
CODE = {role: f"#0101{number:02x}" for number, role in enumerate(ROLES, start=16)}


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
