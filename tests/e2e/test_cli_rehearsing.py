"""`regrow check` and `debug`: code played against journals, as a user types it."""

import socket
import subprocess
import sys

import pytest

from . import dap

pytestmark = pytest.mark.e2e

LONG = """
import os
import pathlib
import socket

import regrow

HERE = pathlib.Path(__file__).parent


def mark(text):
    with (HERE / "trace").open("a") as file:
        file.write(text + "\\n")


@regrow.step
async def fetch(place: int) -> int:
    mark(f"fetch {place}")
    if port := os.environ.get("SERVICE"):
        socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
    return place * 2


@regrow.task
async def long(places: int = 500) -> float:
    total = 0
    for place in range(places):
        total += await fetch(place)
        if place == 250:
            ...
    return summed(total)


def summed(total: int) -> float:
    weights = {"even": 0}
    return total / weights["even"]
"""


@pytest.fixture
def long(desk):
    (desk.folder / "long.py").write_text(LONG, "utf-8")
    return desk


def debugged(desk, *arguments, typed, before=()):
    return subprocess.run(
        [*before, sys.executable, "-m", "regrow", "debug", *arguments],
        cwd=desk.folder,
        env=desk.env,
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_failed_run_is_debugged_to_its_failing_line_with_its_variables(long):
    assert long.regrow("run", "long.py").code == 1
    (long.folder / "trace").unlink()
    ran = debugged(long, "@failed", typed="p weights\np total\nup\np places\nq\n")
    assert "return total / weights[" in ran.stdout
    assert "{'even': 0}" in ran.stdout
    assert "249500" in ran.stdout
    assert "500" in ran.stdout
    assert "ZeroDivisionError" in ran.stderr
    assert long.trace() == [], "a step was carried out"


def test_debugging_reaches_nothing_outside(long):
    unshare = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)
    if unshare.returncode:
        pytest.skip("this host lets nobody make a network namespace (unshare --net)")
    assert long.regrow("run", "long.py", "--places", "50").code == 1
    long.env["SERVICE"] = "9"  # where nothing answers: a step that ran would fail otherwise than the run did
    ran = debugged(long, "@failed", typed="p total\nq\n", before=("unshare", "--net"))
    assert "2450" in ran.stdout
    assert "ZeroDivisionError" in ran.stderr


def test_a_step_that_had_run_would_have_reached_outside(long):
    ran = long.regrow("run", "long.py", "--places", "2", SERVICE="9")
    assert "ConnectionRefused" in ran.err or "ConnectionLost" in ran.err


def test_it_stops_where_a_call_was_made(long):
    long.regrow("run", "long.py", "--places", "5")
    ran = debugged(long, "@failed", "--at", "fetch#3", typed="p total\nq\n")
    assert "fetch#3 is answered from the journal" in ran.stderr
    assert "(regrow) 6\n" in ran.stdout, "0 + 2 + 4, and nothing of what came later"
    assert long.regrow("ls", "--json").json["runs"][0]["status"] == "failed"


def test_going_on_for_real_takes_the_code_as_it_is_by_then(long):
    long.regrow("run", "long.py", "--places", "5")
    (long.folder / "trace").unlink()
    mended = LONG.replace('{"even": 0}', '{"even": 2}')
    edit = f"import pathlib; pathlib.Path('long.py').write_text({mended!r})"
    ran = debugged(long, "@failed", typed=f"!{edit}\nlive\n")
    assert ran.returncode == 0, ran.stderr
    assert "10.0" in ran.stdout
    assert long.trace() == [], "what was recorded is not done again"
    assert long.regrow("ls", "--json").json["runs"][0]["status"] == "succeeded"


def test_the_run_itself_is_left_as_it_was(long):
    long.regrow("run", "long.py", "--places", "5")
    before = long.regrow("show", "@last", "--json").out
    debugged(long, "@failed", typed="q\n")
    assert long.regrow("show", "@last", "--json").out == before


def test_changed_code_is_checked_against_the_runs_that_wait(desk):
    child = desk.begin("run", "agent.py", "slow", "--key", "waits")
    desk.wait_for_trace(1)
    child.kill()
    child.communicate()
    traced = desk.trace()
    fits = desk.regrow("check", "agent.py", "--unfinished", "--json")
    assert fits.code == 0, fits.err
    (one,) = fits.json["runs"]
    assert one["fits"]
    assert one["goes_on_at"] == ["slow#1/think#2"]
    source = (desk.folder / "agent.py").read_text("utf-8")
    (desk.folder / "agent.py").write_text(source.replace("think(str(number))", "think(f'no {number}')"), "utf-8")
    parted = desk.regrow("check", "agent.py", "--unfinished")
    assert parted.code == 1
    assert "slow#1/think#1!2: it was recorded with other inputs" in parted.out
    assert [line for line in desk.trace() if line != "finally"] == traced, "a check has carried something out"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((), "--against RUN or --unfinished"), (("--against", "@last", "--unfinished"), "--against RUN or --unfinished")],
)
def test_a_check_against_nothing_is_refused(desk, arguments, said):
    ran = desk.regrow("check", "agent.py", *arguments)
    assert ran.code == 2
    assert said in ran.err


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_an_editor_is_shown_where_the_run_failed(long, port):
    pytest.importorskip("debugpy")
    long.regrow("run", "long.py", "--places", "5")
    child = long.begin("debug", "@failed", "--debugger", "debugpy", "--port", str(port))
    editor = dap.Editor(port)
    stopped = editor.event("stopped")
    assert stopped["reason"] == "exception"
    function, variables = editor.variables(stopped["threadId"])
    assert function == "summed"
    assert variables["total"] == "20"
    editor.ask("disconnect")
    editor.close()
    child.communicate(timeout=60)


def test_an_editor_is_shown_where_a_call_was_made(long, port):
    pytest.importorskip("debugpy")
    long.regrow("run", "long.py", "--places", "5")
    child = long.begin("debug", "@failed", "--at", "fetch#3", "--debugger", "debugpy", "--port", str(port))
    editor = dap.Editor(port)
    function, variables = editor.variables(editor.event("stopped")["threadId"])
    assert function == "long"
    assert variables["place"] in ("2", "3")
    editor.ask("disconnect")
    editor.close()
    child.communicate(timeout=60)
