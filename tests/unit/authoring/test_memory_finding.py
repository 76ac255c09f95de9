"""What is found in a memory, and how it is shown."""

from dataclasses import dataclass

import pytest

import regrow
from regrow.authoring.memories.finding import TEXT_LIMIT, snippet_of, text_of, words_of
from regrow.authoring.memories.paths import clean_path, fitting
from regrow.testing import MemoryStore

pytestmark = pytest.mark.unit


@dataclass
class Note:
    title: str
    tags: list[str]


def test_the_text_of_a_value_is_all_text_in_it():
    value = {"role": "user", "content": [{"type": "text", "text": "hello"}], "note": Note("a title", ["one", "two"])}
    assert text_of("", value).split("\n") == ["user", "text", "hello", "a title", "one", "two"]
    assert text_of("diet", {"allergies": ["nuts"]}).split("\n") == ["diet", "allergies", "nuts"]
    assert text_of("a.png", b"\xff\xfe\x00") == "a.png"
    assert text_of("", "x" * (TEXT_LIMIT + 1)) == "x" * TEXT_LIMIT


def test_a_snippet_is_the_part_that_fits_on_one_line():
    text = "nothing " * 50 + "but\nthe needle is here" + " nothing" * 50
    snippet = snippet_of(text, words_of("Needle"))
    assert "the needle is here" in snippet
    assert snippet.startswith("…")
    assert snippet.endswith("…")
    assert len(snippet) < 200
    assert snippet_of("short", ["absent"]) == "short"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../../b", "a\0b", "."])
def test_a_path_that_leads_out_of_the_tree_is_refused(path):
    with pytest.raises(regrow.UsageError, match="relative"):
        clean_path(path)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.md", "a.md", True),
        ("*.md", "notes/a.md", False),
        ("**/*.md", "a.md", True),
        ("**/*.md", "notes/deep/a.md", True),
        ("notes/**", "notes/deep/a.md", True),
        ("notes/**", "other/a.md", False),
        ("day?.txt", "day1.txt", True),
        ("day?.txt", "day10.txt", False),
        ("day[12].txt", "day2.txt", True),
        ("day[!12].txt", "day2.txt", False),
        ("a+b.(x)", "a+b.(x)", True),
    ],
)
def test_a_pattern_fits_as_in_a_shell(pattern, path, fits):
    assert fitting(pattern)(path) is fits


class Compass:
    """A model of meaning that knows two directions, and counts what it is asked."""

    def __init__(self):
        self.asked = 0

    def __call__(self, texts):
        self.asked += len(texts)
        return [[float("refund" in text or "money" in text), float("sun" in text or "rain" in text)] for text in texts]


def test_a_search_by_meaning_finds_what_shares_no_word_and_embeds_each_text_once():
    model = Compass()
    memory = regrow.memory("m", store=MemoryStore(), embed=model)
    memory.messages.extend(["they want their money back", "the sun is out"])
    memory.kv.set("weather", "rain tomorrow")
    assert memory.search("refund", 3) == []
    first = memory.search("refund", 1, meaning=True)
    assert [(hit.kind, hit.version, hit.snippet) for hit in first] == [("message", 1, "they want their money back")]
    assert model.asked == 4
    memory.kv.set("weather", "sun again")
    assert {hit.version for hit in memory.search("sun", 2, meaning=True)} == {2, 4}
    assert model.asked == 6


def test_a_model_that_loses_texts_is_told_so():
    memory = regrow.memory("m", store=MemoryStore(), embed=lambda texts: [])
    memory.messages.append("one")
    with pytest.raises(regrow.UsageError, match="0 vectors for 1 texts"):
        memory.search("one", meaning=True)


def test_a_search_by_meaning_without_a_model_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wordllama", None)
    memory = regrow.memory("m", store=MemoryStore())
    memory.messages.append("one")
    with pytest.raises(regrow.UsageError, match=r"pip install 'regrow\[semantic\]'"):
        memory.search("one", meaning=True)


def test_the_model_of_the_extra_finds_what_is_meant_without_a_network():
    pytest.importorskip("wordllama", reason="needs regrow[semantic]")
    memory = regrow.memory("m", store=MemoryStore())
    memory.messages.extend(["", "they want their money back", "it will be sunny tomorrow", "we drove by train"])
    assert memory.search("refund", 1, meaning=True)[0].version == 2
    assert memory.search("weather forecast", 1, meaning=True)[0].version == 3


def test_a_value_may_be_asked_for_by_its_class():
    store = MemoryStore()
    memory = regrow.memory("m", store=store, types=(Note,))
    memory.kv.set("note", Note("a", ["b"]))
    assert regrow.memory("m", store=store).kv.get("note", of=Note) == Note("a", ["b"])
    assert memory.kv.get("none", of=Note) is None
    with pytest.raises(regrow.UsageError, match="is a Note, not a int"):
        memory.kv.get("note", of=int)


def test_messages_are_a_list_that_can_be_sliced():
    memory = regrow.memory("m", store=MemoryStore())
    memory.messages.extend(list(range(10)))
    messages, whole = memory.at().messages, list(range(10))
    assert list(messages) == whole
    assert (len(messages), messages[-1], messages.last(3), messages.last(0)) == (10, 9, [7, 8, 9], [])
    for part in (slice(2, 5), slice(-3, None), slice(None, None, -2), slice(8, 2), slice(None, 99)):
        assert messages[part] == whole[part]
    with pytest.raises(IndexError):
        messages[10]
    assert memory.messages.append(role="user", content="hi") == 11
    with pytest.raises(regrow.UsageError, match="not both"):
        memory.messages.append("hi", role="user")


def test_a_version_that_is_not_there_and_a_name_that_is_none_are_refused():
    memory = regrow.memory("m", store=MemoryStore())
    memory.kv.set("k", 1)
    with pytest.raises(regrow.UsageError, match="has no version 2; its latest is 1"):
        memory.at(2)
    with pytest.raises(regrow.UsageError, match="name"):
        regrow.memory(" ")
    with pytest.raises(regrow.UsageError, match="say whose"):
        memory.quarantine()
    with pytest.raises(regrow.UsageError, match="already"):
        memory.fork("m")
    with pytest.raises(KeyError):
        memory.kv["nothing"]
    with pytest.raises(FileNotFoundError):
        memory.files.read("nothing")


def test_a_view_of_a_version_has_nothing_to_write_with():
    view = regrow.memory("m", store=MemoryStore()).at(0)
    assert not [
        name
        for part in (view, view.kv, view.files, view.messages)
        for name in ("set", "write", "append", "delete", "revert")
        if hasattr(part, name)
    ]
