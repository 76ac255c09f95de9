"""What became of the workers: which of them died, of what, on what evidence, and what was done about it.

Nothing here was noted down by the agent. It is read from the journal, where regrow keeps every attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regrow.examples.experiments import Outcome, Trial
from regrow.examples.wording import clip, score
from regrow.insight.attempts import AttemptLine
from regrow.values.sizes import readable_size

STRONGEST = 3  # sentences of evidence that are shown; the others are what was last seen of its memory


@dataclass(frozen=True)
class Story:
    """What happened to one attempt in a worker.

    Attributes:
        attempt: which one.
        who: whose it was, such as ``#8 linear (strength 0.1) · degree 3``.
        what: it died of that, or reached its limit and did not.
        evidence: how sure that is, and why.
        done: what was done about it.
    """

    attempt: AttemptLine
    who: str
    what: str
    evidence: str
    done: str


def in_workers(attempts: Sequence[AttemptLine]) -> list[AttemptLine]:
    """The attempts that had a process of their own, as they began."""
    return sorted((attempt for attempt in attempts if attempt.isolated), key=began)


def began(attempt: AttemptLine) -> float:
    """When an attempt's worker began; before that it may have waited for a place."""
    return attempt.limits[0][0] if attempt.limits else attempt.start


def is_eventful(attempt: AttemptLine) -> bool:
    """Whether more happened to it than that it ran: an error of the model's own is the experiment's result."""
    return bool(attempt.growths) or died(attempt) or attempt.attempt > 1


def died(attempt: AttemptLine) -> bool:
    """Whether its worker, and not only the code in it, came to an end before its time."""
    return bool(attempt.failure) and attempt.confidence is not None


def trial_of(attempt: AttemptLine, outcome: Outcome) -> Trial | None:
    """The trial that an attempt belongs to; None for the winner's training."""
    number = attempt.path.rpartition("#")[2]
    return next((trial for trial in outcome.trials if attempt.name == "evaluate" and str(trial.number) == number), None)


def stories(attempts: Sequence[AttemptLine], outcome: Outcome) -> list[Story]:
    """What happened to the workers, in order."""
    told = []
    for attempt in in_workers(attempts):
        trial = trial_of(attempt, outcome)
        who = f"#{trial.number} {trial.spec}" if trial is not None else f"the winner's training, {outcome.winner.spec}"
        who += f", attempt {attempt.attempt}" if attempt.attempt > 1 else ""
        if attempt.growths:
            held = f"held at its limit by {attempt.enforced_by[0]}" if attempt.enforced_by else "held at its limit"
            told.append(Story(attempt, who, "needed more memory", held, "; ".join(attempt.growths)))
        if died(attempt):
            what = attempt.message.removeprefix(attempt.path).lstrip(": ")
            evidence = "; ".join([str(attempt.confidence), *attempt.evidence[:STRONGEST]])
            done = attempt.remedy or (answer(trial, outcome) if trial is not None else "the run failed of it")
            told.append(Story(attempt, who, f"{attempt.failure}: {clip(what, 160)}", evidence, done))
    return told


def answer(failure: Trial, outcome: Outcome) -> str:
    """What the chooser made of a failure."""
    children = [trial for trial in outcome.trials if trial.spec.parent == failure.number]
    if not children:
        return "left at that"
    return "; ".join(f"#{c.number} tried instead: {c.spec}, {score(c)}" for c in children)


def limits(attempts: Sequence[AttemptLine]) -> str:
    """Under which limits the workers ran, in a sentence; empty if there were none."""
    first = next((attempt for attempt in in_workers(attempts) if attempt.limits and attempt.limits[0][1]), None)
    if first is None:
        return ""
    memory = readable_size(first.limits[0][1] or 0)
    by = f", kept by {' and '.join(first.enforced_by)}" if first.enforced_by else ""
    return f"Each experiment began with {memory} of memory in a process of its own{by}."


def staged(attempts: Sequence[AttemptLine]) -> str:
    """Which of the deaths were no consequence of the data, in a sentence or two; empty if none."""
    said = []
    if any(attempt.failure == "Preempted" and attempt.name == "train_winner" for attempt in attempts):
        said.append(
            "One thing was staged: once the winner's training had saved its second checkpoint, the demo sent its"
            " worker the SIGTERM that a spot instance would get."
        )
    if killed := sum(attempt.failure == "WorkerLost" for attempt in attempts):
        said.append(f"{killed} {'worker was' if killed == 1 else 'workers were'} killed from outside with SIGKILL.")
    if said:
        said.append("Everything else is what the data asked for.")
    return " ".join(said)
