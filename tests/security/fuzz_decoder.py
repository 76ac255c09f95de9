"""A coverage-guided search for bytes that a reader of stored or sent bytes cannot stand. For long runs, by hand::

    pip install atheris         # in an environment that has the test requirements
    python tests/security/fuzz_decoder.py -max_total_time=600

Atheris is no dependency of the tests: it brings libFuzzer along, is built for few platforms, and finds most in hours.
`test_fuzz.py` does the same in seconds, without being guided. Arguments are libFuzzer's: ``-runs=N``, ``-seed=N``, a
folder to keep the corpus in. What it stops at is written to ``crash-…``; naming that file repeats it.
"""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit("fuzz_decoder.py needs atheris, which is not among the test requirements: pip install atheris")

with atheris.instrument_imports(include=["regrow"]):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from security import hostile_bytes
    from security.traps import watched

NAMES = sorted(hostile_bytes.READERS)
_LONGEST = 1 << 16


def judge(data: bytes) -> None:
    """Let one reader read; the first byte says which. Raises what no reader may raise."""
    if not data:
        return
    reader = hostile_bytes.READERS[NAMES[data[0] % len(NAMES)]]
    with watched() as ran, contextlib.suppress(*reader.refusals):
        reader.read(data[1:])
    if ran:
        raise RuntimeError(f"reading ran {', '.join(sorted(set(ran)))}")


def mutate(data: bytes, longest: int, seed: int) -> bytes:
    """Change an input: half of the time as libFuzzer would, otherwise knowing what encodings are made of."""
    dice = random.Random(seed)
    if not data or dice.random() < 0.5:
        return atheris.Mutate(data, longest)
    other = dice.choice(hostile_bytes.SEEDS[dice.choice(NAMES)])
    return (data[:1] + hostile_bytes.mutated(data[1:], other, dice))[:longest]


def main() -> None:
    with tempfile.TemporaryDirectory() as corpus:
        for number, name in enumerate(NAMES):
            for count, seed in enumerate(hostile_bytes.SEEDS[name]):
                (Path(corpus) / f"{number}-{count}").write_bytes(bytes([number]) + seed)
        limits = [f"-max_len={_LONGEST}", "-timeout=20", "-rss_limit_mb=2048"]
        given = sys.argv[1:]
        replayed = any(Path(one).is_file() for one in given)
        atheris.Setup([sys.argv[0], *limits, *given, *([] if replayed else [corpus])], judge, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
