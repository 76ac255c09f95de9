"""The main job from the command line: killed, started again, and given tables that cannot be learnt from."""

import signal
import time

import pytest

pytest.importorskip("sklearn")
pytestmark = pytest.mark.e2e

SMALL = ("--csv", "small.csv", "--target", "price", "--rounds", "1", "--width", "4")


@pytest.fixture
def small_table(desk):
    rows = [
        f"{number},{number * 7 % 11},{'east' if number % 3 else 'west'},{3 * number + number * 7 % 11}"
        for number in range(60)
    ]
    (desk.folder / "small.csv").write_text("\n".join(["rooms,age,side,price", *rows]), "utf-8")


def finished(desk):
    shown = desk.regrow("show", "@last", "--json")
    if shown.code or not shown.json["calls"]:
        return 0
    return sum(call["status"] == "succeeded" for call in shown.json["calls"][0]["children"])


@pytest.mark.usefixtures("small_table")
def test_a_demo_that_was_killed_goes_on_with_the_same_command_and_says_what_that_saved(desk):
    child = desk.begin("demo", *SMALL)
    end = time.monotonic() + 60
    while finished(desk) < 3:
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    desk.end(child, signal.SIGKILL)
    done = finished(desk)
    again = desk.regrow("demo", *SMALL, "--report", "page.html")
    assert again.code == 0, again.err
    assert "which was interrupted" in again.err
    assert f"{done} of " in again.out.splitlines()[-1]
    assert "taken from the journal" in again.out.splitlines()[-1]
    assert str(desk.folder / "page.html") in again.out
    assert "<svg" in (desk.folder / "page.html").read_text("utf-8")
    assert len(desk.regrow("ls", "--json").json["runs"]) == 1
    assert desk.regrow("doctor").code == 0


@pytest.mark.usefixtures("small_table")
def test_a_demo_that_has_finished_is_begun_anew(desk):
    first, second = (desk.regrow("demo", *SMALL, "--json").json for _ in range(2))
    assert first["run"]["id"] != second["run"]["id"]
    assert second["tally"]["replayed"] == 0
    assert first["result"]["winner"]["spec"] == second["result"]["winner"]["spec"]


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        ("a,b\n", ("--target", "b")),
        ("a,b\n1,2\n", ("--target", "b")),
        ("a,b\n1,2\n", ("--target", "c")),
        ("a,b\n1,2\n", ()),
        ("\x00\x01", ("--target", "b")),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_refused_in_one_sentence(desk, content, arguments):
    (desk.folder / "table.csv").write_text(content, "utf-8")
    ran = desk.regrow("demo", "--csv", "table.csv", *arguments)
    assert ran.code == 2
    assert ran.err.startswith("regrow: ")
    assert ran.err.count("\n") == 1
    assert not (desk.folder / ".regrow").exists()


def test_without_the_extra_the_demo_says_what_to_install(desk):
    (desk.folder / "sklearn.py").write_text("raise ModuleNotFoundError('no sklearn', name='sklearn')\n", "utf-8")
    ran = desk.regrow("demo")
    assert ran.code == 2
    assert "pip install 'regrow[demo]'" in ran.err
    assert "Traceback" not in ran.err
