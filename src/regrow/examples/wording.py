"""How scores, times and long texts are written, in the terminal and on the page."""

from __future__ import annotations

from regrow.examples.experiments import Trial


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


def sentence(text: str) -> str:
    """A note as a sentence."""
    return f"{text[:1].upper()}{text[1:]}."
