"""`regrow memory`: looking at what agents remember, comparing it, setting it back, and taking poison out."""

import json

import pytest

pytestmark = pytest.mark.e2e

AGENT = """
import os
from dataclasses import dataclass

import regrow

memory = regrow.memory("customers/42")


@dataclass
class Profile:
    name: str


@regrow.step
def fetch(url: str) -> None:
    memory.kv.set("advice", f"advice of {url}", source=url)


@regrow.task
def remembers(name: str) -> int:
    memory.messages.append(role="user", content=f"I am {name}")
    memory.kv.set("profile", Profile(name))
    memory.files.write("notes/day1.md", "met")
    fetch("https://good.example")
    fetch("https://evil.example")
    return memory.version()


@regrow.task
def dies() -> None:
    list(memory.messages)
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def agent(desk):
    (desk.folder / "remembering.py").write_text(AGENT, "utf-8")
    done = desk.regrow("run", "remembering.py", "remembers", "--name", "Ann")
    assert done.code == 0, done.err
    return desk


def test_memories_are_listed_and_shown_with_who_wrote_what(agent):
    listed = agent.regrow("memory", "ls", "--json").json
    assert [(one["name"], one["version"], one["messages"]) for one in listed["memories"]] == [("customers/42", 5, 1)]
    shown = agent.regrow("memory", "show", "customers/42").out
    assert "I am Ann" in shown
    assert "Profile(name='Ann')" in shown
    assert "remembers in " in shown
    document = agent.regrow("memory", "show", "customers/42", "--json").json
    assert (document["command"], document["at"]) == ("memory show", 5)
    advice, profile = document["documents"]
    assert (advice["value"], advice["source"], advice["step"]) == (
        "advice of https://evil.example",
        "https://evil.example",
        "remembers#1/fetch#2",
    )
    assert (profile["value"], profile["shown"]) == (None, "Profile(name='Ann')")
    assert len(agent.regrow("memory", "show", "customers/42", "--history", "--json").json["history"]) == 5


def test_a_poisoned_source_is_taken_out_and_can_be_let_in_again(agent):
    from_evil = ("--source", "https://evil.example")
    put = agent.regrow("memory", "quarantine", "customers/42", *from_evil, "--reason", "injected")
    assert (put.code, "in quarantine" in put.err) == (0, True)
    shown = agent.regrow("memory", "show", "customers/42").out
    assert "good.example" in shown
    assert "advice of https://evil.example" not in shown
    assert "in quarantine: source https://evil.example" in shown
    again = agent.regrow("memory", "release", "customers/42", *from_evil)
    assert again.code == 0
    assert "advice of https://evil.example" in agent.regrow("memory", "show", "customers/42").out
    nothing = agent.regrow("memory", "release", "customers/42", *from_evil)
    assert (nothing.code, "nothing is in quarantine" in nothing.err) == (2, True)
    nobody = agent.regrow("memory", "quarantine", "customers/42")
    assert (nobody.code, "say whose writes" in nobody.err) == (2, True)


def test_versions_are_compared_and_set_back(agent):
    found = agent.regrow("memory", "diff", "customers/42", "4", "5", "--json").json
    assert [(one["before"]["version"], one["after"]["version"]) for one in found["changed"]] == [(4, 5)]
    assert agent.regrow("memory", "revert", "customers/42", "--to", "4", "--json").json["at"] == 6
    same = agent.regrow("memory", "diff", "customers/42", "4")
    assert (same.out, "they hold the same" in same.err) == ("", True)
    far = agent.regrow("memory", "revert", "customers/42", "--to", "40")
    assert (far.code, "no version 40; its latest is 6" in far.err) == (2, True)


def test_an_export_is_one_document_with_everything(agent):
    whole = json.loads(agent.regrow("memory", "export", "customers/42").out)
    assert (whole["version"], whole["memory"], whole["at"]) == (1, "customers/42", 5)
    assert whole["messages"][0]["value"] == {"role": "user", "content": "I am Ann"}
    assert whole["files"]["notes/day1.md"]["value"] == "met"
    assert len(whole["history"]) == 5
    early = json.loads(agent.regrow("memory", "export", "customers/42", "--at", "1").out)
    assert (early["documents"], early["files"]) == ({}, {})


def test_a_memory_that_an_unfinished_run_has_read_is_not_removed_without_force(agent):
    agent.regrow("run", "remembering.py", "dies")
    kept = agent.regrow("memory", "rm", "customers/42")
    assert (kept.code, "unfinished runs have used customers/42" in kept.err) == (2, True)
    assert agent.regrow("memory", "rm", "customers/42", "--force").code == 0
    assert agent.regrow("memory", "ls", "--json").json["memories"] == []
    gone = agent.regrow("resume", "@last")
    assert (gone.code, "memory customers/42: version 5 is missing" in gone.err) == (5, True)


def test_a_name_that_is_mistyped_is_answered_with_the_one_that_was_meant(agent):
    wrong = agent.regrow("memory", "show", "customer/42")
    assert (wrong.code, "did you mean 'customers/42'?" in wrong.err) == (2, True)
    assert agent.regrow("memory", "show", "customers/42", "--project", "other").code == 2
    empty = agent.regrow("memory", "ls", "--project", "other")
    assert (empty.code, "no memories" in empty.err) == (0, True)
