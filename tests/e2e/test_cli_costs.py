"""What calls have cost, as `regrow show`, `diff` and `cache` tell it."""

import pytest

pytestmark = pytest.mark.e2e

PAYING = """
import regrow


@regrow.step
async def ask_model(question: str) -> str:
    regrow.spent("0.0042", on="tokens")
    return question


@regrow.step(cache=True)
async def search(words: str) -> str:
    regrow.spent(0.5)
    return words


@regrow.step
def fetch(words: str) -> str:
    regrow.spent(1)
    return words


@regrow.task(isolate=True)
def crawl(words: str) -> str:
    regrow.spent("0.25", on="the machine")
    return fetch(words)


@regrow.task
async def agent(words: str = "all") -> str:
    asked = [await ask_model(f"{number}") for number in range(10)]
    return await search("all") + await crawl.aio(words) + asked[0]
"""


@pytest.fixture
def paying(desk):
    (desk.folder / "paying.py").write_text(PAYING, "utf-8")

    def run(*arguments):
        return desk.regrow("run", "paying.py", "agent", *arguments, "--json").json["run"]["id"]

    return run


def line_of(text, word):
    (line,) = [line for line in text.splitlines() if word in line]
    return " ".join(line.split())


def test_show_says_what_a_run_and_each_of_its_calls_has_cost_workers_included(desk, paying):
    paying()
    shown = desk.regrow("show", "@last").out
    assert line_of(shown, "cost ") == "cost $1.79"
    assert line_of(shown, "ask_model").endswith("$0.042 in all")
    assert line_of(shown, "crawl").endswith("$1.25")
    assert line_of(shown, "fetch").endswith("$1.00")
    document = desk.regrow("show", "@last", "--json").json
    assert (document["cost"], document["inherited_cost"]) == (1.792, 0.0)
    (agent,) = document["calls"]
    assert agent["cost"] == 1.792
    assert [call["cost"] for call in agent["children"]] == [*[0.0042] * 10, 0.5, 1.25]


def test_a_cache_hit_says_what_money_it_has_saved(desk, paying):
    paying()
    paying("--words", "others")
    shown = desk.regrow("show", "@last").out
    assert line_of(shown, "answered from the cache").endswith("and $0.50")
    assert line_of(shown, "cache hit: computed by agent#1/search#1").endswith("and $0.50")
    assert line_of(shown, "cost ") == "cost $1.29"
    (hit,) = [one["hit"] for one in desk.regrow("show", "@last", "--json").json["calls"][0]["children"] if one["hit"]]
    assert hit["cost"] == 0.5
    (row,) = desk.regrow("cache", "ls", "--json").json["artifacts"]
    assert row["cost"] == 0.5
    assert " and $0.50" in desk.regrow("cache", "ls").out
    assert "1, which saved" in line_of(desk.regrow("cache", "show", row["key"]).out, "hits")
    assert line_of(desk.regrow("cache", "show", row["key"]).out, "hits").endswith("and $0.50")


def test_diff_compares_costs_and_a_difference_of_them_alone_is_no_parting(desk, paying):
    runs = paying(), paying()
    told = desk.regrow("diff", *runs).out
    assert "the others differ in cost alone" in told
    assert [line.split()[-2:] for line in told.splitlines() if "steps took" in line] == [
        ["cost", "$1.79"],
        ["cost", "$1.29"],
    ]
    document = desk.regrow("diff", *runs, "--json").json
    assert [total["cost"] for total in document["totals"]] == [1.792, 1.292]
    (call,) = document["calls"]
    assert (call["path"], document["part_at"]) == ("agent#1/search#1", "")
    assert call["differences"] == [{"aspect": "cost", "left": "$0.50", "right": "$0.00"}]


def test_a_fork_says_how_much_of_its_cost_it_has_inherited(desk, paying):
    run = paying()
    desk.regrow("fork", run, "--at", "crawl#1")
    assert line_of(desk.regrow("show", "@last").out, "cost ") == "cost $1.79, $0.542 of it before the fork"
