"""The shared cache between real processes: one computes and all others wait; and what becomes of that when it dies."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest

from regrow.insight.collect import loose_blobs
from regrow.journal.chain import unseal_all
from regrow.journal.records import CallSucceeded

pytestmark = pytest.mark.process

CROWD = """
    @regrow.step(cache=True)
    async def slow(number: int) -> int:
        effect("slow")
        effect(f"by {os.getpid()}")
        while not os.path.exists("go"):
            await asyncio.sleep(0.01)
        return number * 2

    @regrow.task
    async def main(callers: int) -> int:
        effect("asks")
        return sum(await asyncio.gather(*(slow(21) for _ in range(callers))))

    async def runs(count, callers):
        begun = [await regrow.start(main, callers) for _ in range(count)]
        return [await one.result() for one in begun]

    if __name__ == "__main__":
        print(asyncio.run(runs(*map(int, sys.argv[1:]))))
"""
NESTED = """
    @regrow.step(cache=True)
    def slow(number: int) -> int:
        effect("slow")
        effect(f"by {os.getpid()}")
        if not os.path.exists("go"):
            effect("waits")
            wait_for_file("go")
        return number * 2

    @regrow.task(isolate=True)
    def inside(number: int) -> int:
        return slow(number)

    @regrow.task
    async def main() -> int:
        effect("asks")
        try:
            return await inside.aio(21)
        except regrow.Failure as failure:
            return await forgoes()

    @regrow.step
    async def forgoes() -> int:
        effect("forgoes")
        wait_for_file("over")
        return 0

    if __name__ == "__main__":
        print(regrow.run(main))
"""


def hits(store):
    """Count the calls that were answered from the cache, by the run that had computed it."""
    events = [record.event for row in store.runs() for record in unseal_all(row.id, store.read(row.id))]
    return Counter(one.hit.run for one in events if isinstance(one, CallSucceeded) and one.hit is not None)


def pid_that_computes(crowd):
    (line,) = [line for line in crowd.ledger() if line.startswith("by ")]
    return int(line.split()[1])


def test_of_fifty_callers_in_three_runs_of_two_processes_one_executes(program):
    crowd = program(CROWD)
    first = crowd.start(1, 20)
    crowd.wait_for("slow")
    second = crowd.start(2, 15)
    crowd.wait_until(lambda: crowd.ledger()["asks"] == 3)
    crowd.touch("go")
    assert crowd.finish(first).out == "[840]\n"
    assert crowd.finish(second).out == "[630, 630]\n"
    assert crowd.ledger()["slow"] == 1
    assert hits(crowd.store()).total() == 49


@pytest.mark.control
def test_without_the_cache_each_of_them_executes(program):
    crowd = program(CROWD.replace("cache=True", "cache=False"))
    crowd.touch("go")
    assert crowd.run(2, 5).returncode == 0
    assert crowd.ledger()["slow"] == 10


def test_when_the_process_that_executes_is_killed_another_takes_over_and_the_rest_go_on_waiting(program):
    crowd = program(CROWD)
    first = crowd.start(1, 1)
    crowd.wait_for("slow")
    second = crowd.start(2, 5)
    crowd.wait_until(lambda: crowd.ledger()["asks"] == 3)
    os.kill(pid_that_computes(crowd), signal.SIGKILL)
    first.wait()
    crowd.wait_until(lambda: crowd.ledger()["slow"] == 2)
    crowd.touch("go")
    assert crowd.finish(second).out == "[210, 210]\n"
    assert crowd.ledger()["slow"] == 2


def test_a_call_in_a_worker_finds_what_a_worker_of_another_process_has_computed(program):
    nested = program(NESTED)
    nested.touch("go")
    assert [nested.run().out for _ in range(2)] == ["42\n", "42\n"]
    assert nested.ledger()["slow"] == 1
    (run,) = hits(nested.store())
    assert run == nested.store().runs()[1].id


def test_when_a_worker_that_executes_is_killed_another_process_takes_over_though_its_driver_lives(program):
    nested = program(NESTED)
    first = nested.start()
    nested.wait_for("waits")
    second = nested.start()
    nested.wait_until(lambda: nested.ledger()["asks"] == 2)
    os.kill(pid_that_computes(nested), signal.SIGKILL)
    nested.wait_until(lambda: nested.ledger()["slow"] == 2)
    nested.touch("go")
    assert nested.finish(second).out == "42\n"
    nested.touch("over")
    nested.finish(first)


def test_what_the_cache_holds_survives_its_run_and_the_collection_of_blobs(program):
    large = program("""
        @regrow.step(cache=True)
        async def large() -> bytes:
            effect("large")
            return b"x" * 200_000

        @regrow.task
        async def main() -> int:
            return len(await large())

        print(regrow.run(main))
    """)
    large.run()
    store = large.store()
    (row,) = store.cache.rows()
    store.delete(row.run)
    for blob in list(loose_blobs(store, now=row.computed + 7200.0)):
        store.blobs.delete(blob.digest)
    assert large.run().out == "200000\n"
    assert large.ledger()["large"] == 1


HASHED = """
    import dataclasses, enum
    from regrow.authoring.fingerprint import fingerprint

    NAMES = {"ab", "cd", "ef", "gh"}
    FROZEN = frozenset(NAMES)

    class Kind(enum.Enum):
        ONE = "1"
        TWO = "2"

    @dataclasses.dataclass
    class Plan:
        names: set = dataclasses.field(default_factory=lambda: {"x", "y"})
        kind: Kind = Kind.ONE

    PLAN = Plan()

    def helper(text):
        return text in {"p", "q", "r", "s"} or text in NAMES or text in FROZEN

    def f(text):
        return helper(text), PLAN, {key: value for key, value in vars(PLAN).items()}

    print(fingerprint(f).hex())
"""


def test_a_fingerprint_is_the_same_in_every_process_whatever_the_seed_of_its_hashes(program):
    hashed = program(HASHED)
    found = {hashed.run(PYTHONHASHSEED=seed).out for seed in "123"}
    assert len(found) == 1
    assert len(found.pop()) == 33
