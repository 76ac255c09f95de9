"""Finding what is in a memory: by its words, or by what it means.

Words are found by SQLite's full-text index, which ranks by BM25. Meaning is a vector that a model makes of a text, and
nearness the cosine between two. There are thousands of texts in a memory and not millions, so they are all compared: an
index for vectors would be one more thing to keep up to date, and to lose.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from operator import mul
from pathlib import Path
from typing import Any, cast

import msgspec

from regrow.authoring.memories.reading import MemoryEntry, Snapshot
from regrow.errors import UsageError
from regrow.journal.memories import Kind, Place, Vector

Embed = Callable[[list[str]], Sequence[Sequence[float]]]
"""A model of meaning: makes a vector of each text, all of one length."""

TEXT_LIMIT = 100_000
"""How many characters of one message, document or file are searched: a long chapter. The rest is kept, not found."""

_SNIPPET = 160
_BATCH = 256
_WORD = re.compile(r"\w+")


class SearchHit(msgspec.Struct, frozen=True):
    """Something that a search has found.

    Attributes:
        kind: a message, document or file.
        key: of the document, or path of the file.
        memory: in which it was written; of a fork, that may be the one that it was forked from.
        version: in which it was written there.
        score: how well it fits; the larger, the better. Comparable within one search only.
        snippet: the part of it that fits, for people and models.
    """

    kind: Kind
    key: str
    memory: str
    version: int
    score: float
    snippet: str


def text_of(key: str, value: object) -> str:
    """Give the words under which something is found: all text in it, and for what has a key that and the names in it.

    Messages have the same few names, such as ``role``, which say nothing of them.
    """
    found: list[str] = [key] if key else []
    _gather(value, found, names=bool(key))
    return "\n".join(found)[:TEXT_LIMIT]


def _gather(value: object, found: list[str], *, names: bool, depth: int = 0) -> None:
    match value:
        case str():
            found.append(value)
        case bytes():
            try:
                found.append(value[: 4 * TEXT_LIMIT].decode("utf-8"))
            except UnicodeDecodeError:
                return  # an image, say
        case int() | float():
            found.append(str(value))
        case _ if depth > 8:  # noqa: PLR2004 - deep enough for what people say
            return
        case Mapping():
            for name, part in value.items():
                if names:
                    found.append(str(name))
                _gather(part, found, names=names, depth=depth + 1)
        case list() | tuple() | set() | frozenset():
            for part in value:
                _gather(part, found, names=names, depth=depth + 1)
        case _:
            _gather(_fields(value), found, names=names, depth=depth + 1)


def _fields(value: object) -> dict[str, Any]:
    names = getattr(value, "__struct_fields__", None)
    if names is not None:
        return {name: getattr(value, name) for name in names}
    return {name: part for name, part in getattr(value, "__dict__", {}).items() if not name.startswith("_")}


def words_of(text: str) -> list[str]:
    """Give the words of a query, each once."""
    return list(dict.fromkeys(_WORD.findall(text.casefold())))


def snippet_of(text: str, words: Sequence[str]) -> str:
    """Give the part of a text around the first of some words that is in it, on one line."""
    folded = text.casefold()
    places = [place for word in words if (place := folded.find(word[: max(3, len(word) - 3)])) >= 0]
    start = max(0, min(places, default=0) - _SNIPPET // 4)
    part = " ".join(text[start : start + _SNIPPET].split())
    return f"{'…' if start else ''}{part}{'…' if start + _SNIPPET < len(text) else ''}"


def by_words(seen: Snapshot, text: str, k: int) -> list[SearchHit]:
    """Give the `k` facts whose words fit a text best."""
    words = words_of(text)
    with seen.reach.store() as memories:
        found = memories.search(seen.reach.project, seen.pin, words, k)
    return [_hit(MemoryEntry(seen.reach, one.fact), one.score, words) for one in found]


def by_meaning(seen: Snapshot, text: str, k: int, embed: Embed, model: str) -> list[SearchHit]:
    """Give the `k` facts that mean most nearly what a text does.

    Args:
        seen: what is searched.
        text: what is looked for.
        k: how many.
        embed: the model. What it has made of a fact is kept, so each is only given to it once.
        model: names it: vectors of two models have nothing to do with each other.
    """
    with seen.reach.store() as memories:
        vectors = memories.vectors(seen.reach.project, seen.pin, model)
    known = {one.place: _numbers(one.numbers) for one in vectors if one.numbers is not None}
    unknown = [one.place for one in vectors if one.numbers is None]
    for start in range(0, len(unknown), _BATCH):
        known |= _embedded(seen, unknown[start : start + _BATCH], embed, model)
    wanted = _made(embed, [text])[0]
    scores = [(_cosine(wanted, numbers), place) for place, numbers in known.items() if len(numbers) == len(wanted)]
    best = sorted(scores, key=lambda one: (-one[0], one[1].memory, -one[1].version))[:k]
    return [_hit(seen.stored(place), score, words_of(text)) for score, place in best]


def _embedded(seen: Snapshot, places: Sequence[Place], embed: Embed, model: str) -> dict[Place, array[float]]:
    texts = []
    for place in places:
        entry = seen.stored(place)
        texts.append(text_of(entry.key, entry.value))
    made = dict(zip(places, _made(embed, texts), strict=True))
    kept = [Vector(place, numbers.tobytes()) for place, numbers in made.items()]
    with seen.reach.store() as memories:
        memories.keep_vectors(seen.reach.project, model, kept)
    return made


def _made(embed: Embed, texts: list[str]) -> list[array[float]]:
    vectors = [array("f", [float(number) for number in vector]) for vector in embed(texts)]
    if len(vectors) != len(texts):
        raise UsageError(f"embed= gave {len(vectors)} vectors for {len(texts)} texts; it must give one for each")
    return vectors


def _numbers(data: bytes) -> array[float]:
    numbers = array("f")
    numbers.frombytes(data)
    return numbers


def _cosine(one: array[float], other: array[float]) -> float:
    length = math.sqrt(sum(map(mul, one, one)) * sum(map(mul, other, other)))
    return sum(map(mul, one, other)) / length if length else 0.0


def _hit(entry: MemoryEntry, score: float, words: Sequence[str]) -> SearchHit:
    snippet = snippet_of(text_of("" if entry.kind == "message" else entry.key, entry.value), words)
    return SearchHit(entry.kind, entry.key, entry.memory, entry.version, score, snippet)


@cache
def local_model() -> Embed:
    """Give the model of ``regrow[semantic]``: WordLlama, whose package has its weights in it, so it needs no network.

    Raises:
        UsageError: it is not installed.
    """
    try:
        wordllama = import_module("wordllama")  # 16 MB of weights, for those who ask for them
    except ModuleNotFoundError:
        raise UsageError(
            "searching by meaning needs a model: pip install 'regrow[semantic]', or give one as "
            "regrow.memory(…, embed=function)"
        ) from None
    # Its tokenizer lies beside the weights, where it looks for neither: told that this is its cache, it finds it.
    here = Path(str(wordllama.__file__)).parent
    model = wordllama.WordLlama.load(cache_dir=here, disable_download=True)
    return cast("Embed", model.embed)
