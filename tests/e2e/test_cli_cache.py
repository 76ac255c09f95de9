"""`regrow cache`, and what `regrow show` says of a call that was answered from it."""

import pytest

pytestmark = pytest.mark.e2e

SHARING = """
import pathlib
import time

import regrow

FACTOR = 2


@regrow.step(cache=True)
async def think(question: str) -> str:
    with (pathlib.Path(__file__).parent / "trace").open("a") as file:
        file.write(f"think {question}\\n")
    time.sleep(0.05)
    return question * FACTOR


@regrow.step(cache=regrow.Cache(failures=True))
async def refuse(question: str) -> str:
    raise ValueError(f"no answer to {question}")


@regrow.task(cache=True, isolate=True)
def heavy(size: int) -> bytes:
    return b"x" * size


@regrow.task
async def ask(question: str = "why") -> str:
    return await think(question)


@regrow.task
async def many() -> int:
    return len([await think("why") for _ in range(20)])


@regrow.task
async def load(size: int = 100_000) -> int:
    return len(await heavy.aio(size))


@regrow.task
async def fails(question: str = "why") -> str:
    return await refuse(question)


if __name__ == "__main__":
    print(regrow.run(load))
"""


@pytest.fixture
def sharing(desk):
    (desk.folder / "sharing.py").write_text(SHARING, "utf-8")

    def run(task, *arguments):
        return desk.regrow("run", "sharing.py", task, *arguments, "--json").json

    return run


def listed(desk, *arguments):
    return desk.regrow("cache", "ls", "--json", *arguments).json["artifacts"]


def test_an_empty_cache_is_said_to_be_empty_and_how_to_fill_it(desk, sharing):
    desk.regrow("run", "agent.py", "agent", "--question", "a")
    ran = desk.regrow("cache", "ls")
    assert (ran.code, ran.out) == (0, "")
    assert "is empty; @regrow.step(cache=True) fills it" in ran.err


def test_a_second_run_is_answered_from_the_cache_and_show_says_from_where(desk, sharing):
    first = sharing("ask")
    second = sharing("ask")
    assert first["result"] == second["result"] == "whywhy"
    assert desk.trace() == ["think why"]
    assert (first["tally"]["executed"], first["tally"]["cached"]) == (2, 0)
    assert (second["tally"]["executed"], second["tally"]["cached"], second["tally"]["replayed"]) == (1, 1, 0)
    assert second["tally"]["cached_seconds"] >= 0.05
    shown = desk.regrow("show", "@last").out
    assert f"cache hit: computed by ask#1/think#1 of run {first['run']['short']}" in shown
    assert "saved" in shown
    assert "1 call was answered from the cache" in shown
    (call,) = desk.regrow("show", "@last", "--json").json["calls"][0]["children"]
    assert call["hit"]["run"] == first["run"]["id"]
    assert "cache hit" not in desk.regrow("show", first["run"]["id"]).out


def test_many_hits_are_shown_as_one_line_apart_from_what_was_executed(desk, sharing):
    sharing("many")
    lines = desk.regrow("show", "@last").out.splitlines()
    assert sum("cache hits, which saved" in line for line in lines) == 1
    assert sum("think" in line for line in lines) == 2


def test_changing_a_global_of_the_file_computes_again_and_a_comment_does_not(desk, sharing):
    sharing("ask")
    (desk.folder / "sharing.py").write_text("# a comment\n" + SHARING)
    sharing("ask")
    (desk.folder / "sharing.py").write_text(SHARING.replace("FACTOR = 2", "FACTOR = 3"))
    assert sharing("ask")["result"] == "whywhywhy"
    assert len(desk.trace()) == 2


def test_a_list_shows_what_is_there_and_what_it_has_saved(desk, sharing):
    for _ in range(3):
        sharing("ask")
    sharing("load")
    load, ask = listed(desk)
    assert (ask["ref"], ask["hits"], ask["failed"]) == ("sharing:think", 2, False)
    assert (load["ref"], load["hits"]) == ("sharing:heavy", 0)
    assert load["size"] > 100_000 > ask["size"]
    said = desk.regrow("cache", "ls").out
    assert ask["key"][:8] in said
    assert "think" in said


def test_a_program_and_the_command_line_share_isolated_work(desk, sharing):
    import subprocess
    import sys

    sharing("load")
    done = subprocess.run(
        [sys.executable, "sharing.py"], cwd=desk.folder, env=desk.env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "100000\n"
    assert [row["hits"] for row in listed(desk)] == [1]


def test_show_tells_where_an_artifact_is_from_and_its_value(desk, sharing):
    run = sharing("ask")["run"]
    (row,) = listed(desk)
    shown = desk.regrow("cache", "show", row["key"][:6]).out
    assert "sharing:think" in shown
    assert f"ask#1/think#1 of run {run['short']}" in shown
    assert "'whywhy'" in shown
    document = desk.regrow("cache", "show", row["key"], "--json").json
    assert (document["command"], document["value"]) == ("cache show", "'whywhy'")
    assert (document["error"], document["problem"]) == (None, None)


def test_a_shared_failure_is_shown_as_one(desk, sharing):
    sharing("fails")
    sharing("fails")
    (row,) = listed(desk)
    assert row["failed"]
    assert "no answer to why" in desk.regrow("cache", "show", row["key"]).out
    assert "cache hit" in desk.regrow("show", "@last").out


def test_what_was_removed_is_computed_again_and_runs_that_used_it_stay_whole(desk, sharing):
    sharing("ask")
    run = sharing("ask")["run"]["id"]
    (row,) = listed(desk)
    ran = desk.regrow("cache", "rm", row["key"][:8])
    assert (ran.code, listed(desk)) == (0, [])
    assert "removed 1 artifact" in ran.err
    assert desk.regrow("doctor", run).code == 0
    sharing("ask")
    assert len(desk.trace()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rm"], "or write --all"),
        (["rm", "abc"], "type 4 characters"),
        (["rm", "abcd"], "no artifact has a key"),
        (["show", "abcd"], "`regrow cache ls` lists them"),
        (["gc"], "say what may go"),
        (["gc", "--max-bytes", "many"], "--max-bytes takes bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(desk, sharing, arguments, said):
    sharing("ask")
    ran = desk.regrow("cache", *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_gc_goes_by_age_and_by_size_least_recently_used_first(desk, sharing):
    for size in (100_000, 200_000, 300_000):
        sharing("load", "--size", str(size))
    sharing("load", "--size", "100000")
    dry = desk.regrow("cache", "gc", "--max-bytes", "500Ki", "--dry-run", "--json").json
    assert [row["size"] // 100_000 for row in dry["artifacts"]] == [2]
    assert len(listed(desk)) == 3
    desk.regrow("cache", "gc", "--max-bytes", "500Ki")
    assert sorted(row["size"] // 100_000 for row in listed(desk)) == [1, 3]
    assert desk.regrow("cache", "gc", "--older-than", "1d").code == 0
    assert len(listed(desk)) == 2
    desk.regrow("cache", "gc", "--older-than", "0s")
    assert listed(desk) == []


def test_another_project_neither_sees_nor_shares_it(desk, sharing):
    sharing("ask")
    other = desk.regrow("run", "sharing.py", "ask", "--project", "other", "--json").json
    assert other["tally"]["cached"] == 0
    assert [row["project"] for row in listed(desk, "--project", "other")] == ["other"]
