"""The main job from the command line: killed, started again, and given tables that cannot be learnt from."""

import random
import signal
import time

import pytest

pytest.importorskip("sklearn")
pytestmark = pytest.mark.e2e

WIDE = ("--csv", "wide.csv", "--target", "sold", "--rounds", "3", "--width", "8")
SMALL = ("--csv", "small.csv", "--target", "price", "--rounds", "3", "--width", "2")


@pytest.fixture
def small_table(desk):
    rows = [
        f"{number},{number * 7 % 11},{'east' if number % 3 else 'west'},{3 * number + number * 7 % 11}"
        for number in range(60)
    ]
    (desk.folder / "small.csv").write_text("\n".join(["rooms,age,side,price", *rows]), "utf-8")


@pytest.fixture
def wide_table(desk):
    """Thirty columns, of which three tell: all products of four of them are more than a worker is given at first."""
    chance = random.Random(1)
    rows = [[chance.gauss(0, 1) for _ in range(30)] for _ in range(300)]
    sold = ["yes" if row[0] + row[1] - row[2] + chance.gauss(0, 0.5) > 0 else "no" for row in rows]
    lines = [",".join([*(f"{value:.3f}" for value in row), label]) for row, label in zip(rows, sold, strict=True)]
    head = ",".join([*(f"c{number}" for number in range(30)), "sold"])
    (desk.folder / "wide.csv").write_text("\n".join([head, *lines]), "utf-8")


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


@pytest.mark.usefixtures("wide_table")
def test_a_demo_heals_what_the_data_and_a_preemption_do_to_it_and_under_chaos_finds_the_same(desk):
    peaceful = desk.regrow("demo", *WIDE, "--report", "page.html", "--json")
    assert peaceful.code == 0, peaceful.err
    attempts = peaceful.json["attempts"]
    assert [one for one in attempts if one["name"] == "evaluate" and (one["growths"] or "grown to" in one["remedy"])]
    assert "each experiment begins with 64 MiB of memory, kept by" in peaceful.err

    training = [(one["failure"], one["outcome"]) for one in attempts if one["name"] == "train_winner"]
    assert training == [("Preempted", "failed"), ("", "succeeded")]
    epochs = [(one["number"], one["attempt"]) for one in peaceful.json["result"]["verdict"]["epochs"]]
    assert epochs == [(1, 1), (2, 1), *((number, 2) for number in range(3, 9))]
    assert peaceful.err.count("staged: SIGTERM") == 1

    page = (desk.folder / "page.html").read_text("utf-8")
    assert "What died, and how it was healed" in page
    assert "One thing was staged" in page
    assert 'aria-label="memory of each worker against its limit"' in page
    assert 'id="timeline-train_winner-1-2' in page

    chaotic = desk.regrow("demo", *WIDE, "--chaos", "--json")
    assert chaotic.code == 0, chaotic.err
    assert chaotic.json["chaos"]["workers_lost"] >= 1
    assert chaotic.json["chaos"]["same_winner"] is True
    assert "chaos 1 of at most" in chaotic.err
    assert chaotic.json["result"]["winner"]["spec"] == peaceful.json["result"]["winner"]["spec"]
    assert len(desk.regrow("ls", "--json").json["runs"]) == 2, "the run in peace was there to compare with"
    assert desk.regrow("doctor").code == 0


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
