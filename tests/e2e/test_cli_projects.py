"""Projects: two tenants of one store, who do not see each other's runs."""

import pytest

pytestmark = pytest.mark.e2e


def test_one_key_names_one_run_in_each_project(desk):
    first = desk.regrow("run", "agent.py", "agent", "--question", "a", "--key", "k", "--json")
    second = desk.regrow("run", "agent.py", "agent", "--question", "b", "--key", "k", "--json", "--project", "other")
    assert first.json["result"]["answer"] == "A"
    assert second.json["result"]["answer"] == "B"
    assert second.json["run"]["project"] == "other"
    assert desk.regrow("show", "k", "--json").json["run"]["id"] == first.json["run"]["id"]
    shown = desk.regrow("show", "k", "--json", REGROW_PROJECT="other")
    assert shown.json["run"]["id"] == second.json["run"]["id"]


def test_a_list_shows_the_runs_of_its_project_alone(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "a")
    desk.regrow("run", "agent.py", "fails", "--project", "other")
    assert [run["task"] for run in desk.regrow("ls", "--json").json["runs"]] == ["agent:agent"]
    assert [run["task"] for run in desk.regrow("ls", "--json", "--project", "other").json["runs"]] == ["agent:fails"]


def test_another_projects_run_is_not_found_and_the_way_back_names_the_project(desk):
    desk.regrow("run", "agent.py", "fails", "--project", "other")
    missing = desk.regrow("retry", "@failed")
    assert missing.code == 3
    why = desk.regrow("why", "@failed", "--project", "other")
    assert "--project other" in why.out


def test_gc_leaves_other_projects_runs_alone(desk):
    desk.regrow("run", "agent.py", "agent", "--question", "a")
    desk.regrow("run", "agent.py", "agent", "--question", "b", "--project", "other")
    assert len(desk.regrow("gc", "--older-than", "0s", "--json").json["runs"]) == 1
    assert len(desk.regrow("ls", "--json", "--project", "other").json["runs"]) == 1


def test_a_project_without_a_name_is_refused(desk):
    ran = desk.regrow("ls", "--project", " ")
    assert ran.code == 2
    assert "a project's name is printable text" in ran.err
