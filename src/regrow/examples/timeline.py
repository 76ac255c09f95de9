"""The workers' lives as a plot: a lane for each, with its memory under its limit, and what happened to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from regrow.examples.experiments import Outcome
from regrow.examples.healed import began, died, in_workers, is_eventful, trial_of
from regrow.examples.plots import CODE, canvas, svg
from regrow.examples.wording import clip, duration
from regrow.insight.attempts import AttemptLine
from regrow.values.sizes import readable_size

TALL, FLAT, GAP = 1.0, 0.14, 0.1  # heights of lanes, in units of the axis; a tall one is about as high as two lines


@dataclass(frozen=True)
class Lane:
    """A worker's place in the plot."""

    attempt: AttemptLine
    label: str
    colour: str
    part: str  # of the search: a round, or the winner
    start: float
    end: float
    low: float
    height: float
    scale: float  # of a byte

    @property
    def id(self) -> str:
        """Names it in the SVG."""
        return f"{self.attempt.name}-{self.attempt.path.rpartition('#')[2]}-{self.attempt.attempt}-{self.low:.2f}"


def plot_workers(outcome: Outcome, attempts: Sequence[AttemptLine]) -> str:
    """Every worker's memory against its limit. Where none ran for long, the time is cut short, and that is said."""
    ran = in_workers(attempts)
    spans = [(began(attempt), ended(attempt)) for attempt in ran]
    if not spans:
        return ""
    place, pauses = cut_pauses(spans)
    lanes = lay_out(outcome, ran, place)
    depth, last = -lanes[-1].low, max(lane.end for lane in lanes)
    figure, axes = canvas(height=0.6 + 0.42 * depth)
    for lane in lanes:
        draw(axes, lane, place, last)
    for start, end, length in pauses:
        axes.axvspan(start, end, color=CODE["band"], linewidth=0, zorder=0)
        axes.text(
            (start + end) / 2, 1.01, f"pause: {duration(length)}",
            transform=axes.get_xaxis_transform(), ha="center", va="bottom", color=CODE["muted"], fontsize=9,
        )  # fmt: skip
    parts = list(dict.fromkeys(lane.part for lane in lanes))
    of = {part: [lane for lane in lanes if lane.part == part] for part in parts}
    tops = {part: of[part][0].low + of[part][0].height for part in parts}
    axes.set_yticks([(tops[part] + of[part][-1].low) / 2 for part in parts], parts)
    for part in parts[1:]:
        axes.axhline(tops[part] + GAP / 2, color=CODE["line"], linewidth=0.6, zorder=0)
    axes.set_ylim(-depth - GAP, GAP)
    axes.set_xlim(0, last * 1.01)
    axes.set_xlabel("seconds, pauses cut short" if pauses else "seconds")
    titles = {lane.id: title(lane) for lane in lanes}
    return svg(figure, "timeline", "memory of each worker against its limit", titles)


def lay_out(outcome: Outcome, ran: list[AttemptLine], place: Callable[[float], float]) -> list[Lane]:
    """Give each attempt its place, the first at the top; those to which nothing happened take little of it."""
    lanes, low = [], 0.0
    for attempt in ran:
        trial = trial_of(attempt, outcome)
        height = TALL if is_eventful(attempt) else FLAT
        low -= height + GAP
        most = max([limit for _, limit in attempt.limits if limit], default=0) or attempt.peak or 1
        again = f", attempt {attempt.attempt}" if attempt.attempt > 1 else ""
        lanes.append(
            Lane(
                attempt,
                label=(f"#{trial.number}" if trial is not None else "winner") + again,
                colour=CODE[(trial or outcome.winner).spec.family],
                part=f"round {trial.round}" if trial is not None else "winner",
                start=place(began(attempt)),
                end=place(ended(attempt)),
                low=low,
                height=height,
                scale=0.92 * height / max(most, attempt.peak or 0),
            )
        )
    return lanes


def draw(axes: Any, lane: Lane, place: Callable[[float], float], last: float) -> None:
    """Draw one lane: the memory as an area, the limit as a line above it, and marks for what happened."""
    attempt, low = lane.attempt, lane.low
    end = max(lane.end, lane.start + last / 400)
    middle = low + lane.height / 2
    times, amounts = memory_of(lane, place, end)
    axes.fill_between(
        times, low, [low + amount * lane.scale for amount in amounts], color=lane.colour, linewidth=0, gid=lane.id
    )
    axes.plot([lane.start, end], [low, low], color=lane.colour, linewidth=0.6)
    steps = [(place(moment), limit) for moment, limit in attempt.limits if limit]
    if steps:
        axes.step(
            [*(x for x, _ in steps), end], [low + y * lane.scale for _, y in [*steps, steps[-1]]],
            where="post", color=CODE["line" if lane.height == FLAT else "muted"], linewidth=0.8,
        )  # fmt: skip
    for x, limit in steps[1:]:
        axes.scatter(x, low + limit * lane.scale, marker="^", s=20, color=CODE["ink"], linewidths=0, zorder=4)
    if attempt.failure:
        size = 34 if died(attempt) else 12
        axes.scatter(end, middle, marker="x", s=size, color=CODE["bad"], linewidths=1.6, zorder=4, clip_on=False)
    if attempt.attempt > 1:
        axes.scatter(lane.start, middle, marker=">", s=26, color=CODE["ink"], linewidths=0, zorder=4, clip_on=False)
    if lane.height == TALL:
        right = end < 0.7 * last
        axes.annotate(
            said(lane), (end if right else lane.start, middle), (9 if right else -9, 0), textcoords="offset points",
            ha="left" if right else "right", va="center", color=CODE["muted"], fontsize=9,
        )  # fmt: skip


def memory_of(lane: Lane, place: Callable[[float], float], end: float) -> tuple[list[float], list[int]]:
    """An attempt's memory over time. Samples are some hundredths of a second apart, so a peak may lie between two."""
    samples = [(place(moment), amount) for moment, amount in lane.attempt.samples]
    points = [(lane.start, 0), *((x, y) for x, y in samples if lane.start < x < end)]
    points.append((end, points[-1][1] if len(points) > 1 else lane.attempt.peak or 0))
    return [x for x, _ in points], [y for _, y in points]


def said(lane: Lane) -> str:
    """What stands beside a lane."""
    attempt = lane.attempt
    limit = attempt.limits[-1][1] if attempt.limits else None
    used = readable_size(attempt.peak) if attempt.peak is not None else "an unknown amount"
    of = f" of {readable_size(limit)}" if limit else ""
    return f"{lane.label}: {used}{of}" + (f", {attempt.failure}" if died(attempt) else "")


def title(lane: Lane) -> str:
    """What a pointer that rests on a lane is told."""
    attempt = lane.attempt
    parts = [said(lane), *attempt.growths, *([clip(attempt.message, 120)] if attempt.failure else []), attempt.remedy]
    return "; ".join(part for part in parts if part)


def ended(attempt: AttemptLine) -> float:
    """When an attempt ended, as far as anybody saw it."""
    seen = [moment for moment, _ in attempt.samples]
    return attempt.end if attempt.end is not None else max([began(attempt), *seen])


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
