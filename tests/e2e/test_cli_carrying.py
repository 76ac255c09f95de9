"""A run as a file: from one machine to another, where it is looked at, debugged and gone on with."""

import subprocess
import sys
import zipfile

import pytest

from .conftest import Desk

pytestmark = pytest.mark.e2e

FAILING = """
import regrow


@regrow.step
async def read(size: int) -> bytes:
    return b"x" * size


@regrow.task
async def count(size: int = 200_000) -> int:
    data = await read(size)
    missing = data.find(b"y")
    return len(data) // (missing + 1)
"""


@pytest.fixture
def elsewhere(tmp_path_factory):
    desk = Desk(tmp_path_factory.mktemp("elsewhere"))
    yield desk
    desk.close()


@pytest.fixture
def exported(desk):
    (desk.folder / "failing.py").write_text(FAILING, "utf-8")
    assert desk.regrow("run", "failing.py", "--key", "k").code == 1
    ran = desk.regrow("export", "@failed", "-o", "run.regrow", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["source"]["as_run"] is True
    return desk.folder / "run.regrow"


def test_an_imported_run_is_shown_as_it_was(desk, elsewhere, exported):
    ran = elsewhere.regrow("import", str(exported), "--json")
    assert ran.code == 0, ran.err
    assert ran.json["fresh"]
    theirs, ours = elsewhere.regrow("show", "k", "--json").json, desk.regrow("show", "k", "--json").json
    assert (theirs["run"].pop("holder"), ours["run"].pop("holder") != "") == ("", True)
    assert theirs == ours
    assert elsewhere.regrow("doctor").code == 0


def test_an_imported_run_is_debugged_without_the_machine_it_ran_on(elsewhere, exported):
    elsewhere.regrow("import", str(exported), "--code", ".")
    child = elsewhere.begin("why", "@failed")
    assert "ZeroDivisionError" in child.communicate()[0]
    ran = subprocess.run(
        [sys.executable, "-m", "regrow", "debug", "@failed", "--file", "failing.py"],
        cwd=elsewhere.folder, env=elsewhere.env, input="p missing\np len(data)\nq\n",
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "-1" in ran.stdout, ran.stderr
    assert "200000" in ran.stdout


def test_an_imported_run_can_be_gone_on_with(elsewhere, exported):
    elsewhere.regrow("import", str(exported), "--code", ".")
    file = elsewhere.folder / "failing.py"
    file.write_text(file.read_text("utf-8").replace("(missing + 1)", "(missing + 2)"), "utf-8")
    ran = elsewhere.regrow("retry", "@failed", "--file", "failing.py", "--json")
    assert ran.json["result"] == 200_000
    assert ran.json["tally"]["replayed"] == 1


def test_a_second_import_changes_nothing(elsewhere, exported):
    elsewhere.regrow("import", str(exported))
    ran = elsewhere.regrow("import", str(exported), "--json")
    assert ran.code == 0
    assert not ran.json["fresh"]
    assert len(elsewhere.regrow("ls", "--json").json["runs"]) == 1


def test_a_run_that_has_gone_on_here_is_not_overwritten(elsewhere, exported):
    elsewhere.regrow("import", str(exported), "--code", ".")
    elsewhere.regrow("retry", "@failed", "--file", "failing.py")
    ran = elsewhere.regrow("import", str(exported))
    assert ran.code == 1
    assert "is here already, and is not the same" in ran.err


def test_a_file_that_is_there_is_not_replaced_unasked(desk, exported):
    before = exported.read_bytes()
    ran = desk.regrow("export", "@failed", "-o", "run.regrow")
    assert ran.code == 2
    assert "--force" in ran.err
    assert exported.read_bytes() == before
    assert desk.regrow("export", "@failed", "-o", "run.regrow", "--force").code == 0


def test_importing_executes_nothing(elsewhere, exported):
    (elsewhere.folder / "failing.py").write_text("raise SystemExit('loaded')", "utf-8")
    assert elsewhere.regrow("import", str(exported)).code == 0


@pytest.mark.parametrize("part", ["records.msgpack", "manifest.json", "blobs/", "code/"])
def test_a_damaged_file_is_refused_and_nothing_is_added(elsewhere, exported, part):
    damaged = exported.with_name("damaged.regrow")
    with zipfile.ZipFile(exported) as source, zipfile.ZipFile(damaged, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.startswith(part):
                data = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
            target.writestr(name, data)
    ran = elsewhere.regrow("import", str(damaged), "--code", "there")
    assert ran.code in (1, 5)
    assert "damaged" in ran.err or "chain" in ran.err or "hash" in ran.err
    assert part == "code/" or elsewhere.regrow("ls", "--json").json["runs"] == []
    assert not (elsewhere.folder / "there").exists()


def test_what_is_no_exported_run_is_refused(elsewhere):
    (elsewhere.folder / "text").write_text("no archive")
    ran = elsewhere.regrow("import", "text")
    assert "is no exported run" in ran.err
    missing = elsewhere.regrow("import", "missing")
    assert missing.code == 2


REMEMBERING = """
import regrow


@regrow.task
async def remembering(places: int = 3) -> int:
    memory = regrow.memory("customers/42")
    for place in range(places):
        memory.messages.append(f"seen {place}")
    memory.files.write("notes/large", "x" * 200_000)
    seen = list(memory.messages)
    return len(seen) // (len(seen) - places)
"""


def test_the_memories_that_a_run_has_used_come_with_it_as_far_as_it_has_used_them(desk, elsewhere):
    (desk.folder / "remembering.py").write_text(REMEMBERING, "utf-8")
    assert desk.regrow("run", "remembering.py", "--key", "k").code == 1
    desk.regrow("export", "@failed", "-o", "run.regrow")
    plain = elsewhere.regrow("import", str(desk.folder / "run.regrow"), "--code", ".")
    assert "customers/42, which stayed behind; --memories brings them" in plain.err
    assert elsewhere.regrow("memory", "ls", "--json").json["memories"] == []
    assert elsewhere.regrow("import", str(desk.folder / "run.regrow"), "--memories").code == 0
    shown = elsewhere.regrow("memory", "show", "customers/42").out
    assert "seen 2" in shown
    ran = subprocess.run(
        [sys.executable, "-m", "regrow", "debug", "@failed", "--file", "remembering.py"],
        cwd=elsewhere.folder, env=elsewhere.env, input="p seen\nq\n",
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "['seen 0', 'seen 1', 'seen 2']" in ran.stdout, ran.stderr
    assert elsewhere.regrow("doctor").code == 0
