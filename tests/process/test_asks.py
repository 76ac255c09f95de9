"""Runs that wait for people while every process is killed; answers that come from other processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import regrow
from regrow.journal.records import Answered, Diverged, DriverOpened

pytestmark = pytest.mark.process

PAYING = """
    @regrow.step
    async def look_up(number: int) -> int:
        effect(f"look up {number}")
        return number * 100

    @regrow.step(approve=regrow.Approve(question="Pay it?"))
    async def pay(amount: int) -> str:
        effect(f"pay {amount}")
        return f"paid {amount}"

    @regrow.task(ISOLATION)
    async def agent(number: int) -> str:
        amount = await look_up(number)
        sure = await regrow.ask("Are you sure?", evidence={"amount": amount})
        try:
            said = await pay(amount)
        except regrow.Denied as no:
            said = f"told: {no.why}"
        return f"{sure} {said}"

    @regrow.task
    async def main() -> str:
        return await agent(7)

    if __name__ == "__main__":
        print(regrow.run(main, key="paying"))
"""


def regrow_command(program, *arguments):
    """Start `regrow` as another process would."""
    return subprocess.run(
        [sys.executable, "-m", "regrow", *arguments, "--store", str(program.home)],
        env=os.environ | {"PYTHONPATH": str(Path(regrow.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def reboot(process):
    """Kill a process and all that it has started, at once."""
    everybody = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in everybody:
        with contextlib.suppress(psutil.NoSuchProcess):  # a worker whose driver is gone has ended itself
            one.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    psutil.wait_procs(everybody, timeout=30)


def open_ask(program):
    return program.store().asks.listed() if program.home.exists() else []


def lived_until_asked(program, after=()):
    """Run until another question is open than those before, then kill everything; give the question."""
    process = program.start()
    program.wait_until(
        lambda: [
            one
            for one in open_ask(program)
            if one.id not in after and str(process.pid) in program.store().get(one.run).holder
        ]
    )
    reboot(process)
    (ask,) = open_ask(program)
    return ask


@pytest.mark.parametrize("isolation", ["", "isolate=True"], ids=["inline", "in a worker"])
@pytest.mark.parametrize("said", ["yes", "no"])
@pytest.mark.promise("P1", "P2", "P8")
def test_after_a_reboot_an_answer_from_another_process_lets_the_run_go_on(program, isolation, said):
    agent = program(PAYING.replace("ISOLATION", isolation))
    first = lived_until_asked(agent)
    again = lived_until_asked(agent)  # it goes on waiting for the very same
    assert (again.id, again.digest, again.asked) == (first.id, first.digest, first.asked)
    assert agent.store().get(first.run).status == "waiting"
    assert regrow_command(agent, "answer", first.id, "--yes").returncode == 0
    assert agent.store().get(first.run).status == "interrupted"
    second = lived_until_asked(agent, after=(first.id,))
    assert second.question.kind == "approval"
    assert regrow_command(agent, "answer", second.id, f"--{said}", "--why", "looked at it").returncode == 0
    ended = agent.run()
    assert ended.out == ("True paid 700\n" if said == "yes" else "True told: looked at it\n"), ended.err
    assert dict(agent.ledger()) == {"look up 7": 1} | ({"pay 700": 1} if said == "yes" else {})
    events = [record.event for record in agent.records()]
    assert [one.said[0].verdict for one in events if isinstance(one, Answered)] == ["yes", said]
    assert sum(isinstance(one, DriverOpened) for one in events) >= 3  # the second may have died before its record
    assert not any(isinstance(one, Diverged) for one in events)


@pytest.mark.promise("P3")
def test_of_two_processes_that_answer_at_once_exactly_one_wins(program):
    agent = program(PAYING.replace("ISOLATION", ""))
    ask = lived_until_asked(agent)
    racing = """
        import os, sys, time
        import regrow
        me, ask = sys.argv[1:]
        open(f"ready-{me}", "w").close()
        while not os.path.exists("go"):
            pass
        try:
            regrow.answer(ask, me == "a", who=me)
        except regrow.AskClosed as late:
            print("late:", late)
        else:
            print("won")
    """
    (agent.folder / "racing.py").write_text("\n".join(line[8:] for line in racing.splitlines()))
    racers = [
        subprocess.Popen(
            [sys.executable, "racing.py", name, ask.id],
            cwd=agent.folder,
            env=os.environ | {"PYTHONPATH": str(Path(regrow.__file__).parents[1]), "REGROW_HOME": str(agent.home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    agent.wait_until(lambda: all((agent.folder / f"ready-{name}").exists() for name in "ab"))
    agent.touch("go")
    told = {name: racer.communicate(timeout=60)[0] for name, racer in zip("ab", racers, strict=True)}
    (winner,) = [name for name, said in told.items() if said == "won\n"]
    (loser,) = {"a", "b"} - {winner}
    assert f"{winner} answered it at" in told[loser]
    assert [one.who for one in agent.store().asks.answers(ask.id)] == [winner]


def test_a_run_that_waits_in_this_process_gets_an_answer_and_a_signal_from_another(program):
    agent = program("""
        @regrow.task(isolate=True)
        def careful(number: int) -> list:
            return [regrow.ask_blocking("How many?", int, choices=()), number]

        @regrow.task
        async def main() -> list:
            return [await careful.aio(3), await regrow.wait_for("deployed", dict)]

        if __name__ == "__main__":
            print(regrow.run(main))
    """)
    process = agent.start()
    agent.wait_until(lambda: open_ask(agent))
    (ask,) = open_ask(agent)
    assert regrow_command(agent, "answer", ask.id, "--value", "5").returncode == 0
    assert regrow_command(agent, "signal", ask.run, "deployed", '{"version": 7}').returncode == 0
    assert agent.finish(process).out == "[[5, 3], {'version': 7}]\n", process.err


def test_a_person_lets_a_task_that_ran_out_of_memory_have_more(program):
    agent = program("""
        @regrow.task(memory="64Mi", retries=0, right_size=False, on_failure=regrow.AskHuman(to="ops"))
        def hungry(size: int) -> int:
            effect(f"attempt {regrow.current().attempt}")
            return len(bytearray(b"x") * (size << 20))

        @regrow.task
        async def main() -> int:
            return await hungry.aio(100) >> 20

        if __name__ == "__main__":
            print(regrow.run(main, key="hungry"))
    """)
    ask = lived_until_asked(agent)
    assert ask.question.kind == "remedy"
    shown = {one.title: one.text for one in ask.question.evidence}
    assert "ran out of memory" in shown["failure"]
    assert '"grow": Grow: raise memory' in shown["ways on"]
    assert shown["size"] == "100"
    answered = regrow_command(agent, "answer", ask.id, "--choice", "grow", "--as", "ops")
    assert answered.returncode == 0, answered.stderr
    ended = agent.run()
    assert ended.out == "100\n", ended.err
    assert dict(agent.ledger()) == {"attempt 1": 1, "attempt 2": 1}
