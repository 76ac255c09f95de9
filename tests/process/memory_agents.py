"""Agents with a memory, for tests that kill and race their processes."""

import os
import sys

import regrow
from regrow.journal.sqlite_memories import SqliteMemories

memory = regrow.memory("m")
WRITES = 50


@regrow.step
def remember(number: int) -> int:
    return memory.kv.set(f"key {number % 7}", number)


@regrow.task
async def diary() -> list:
    for number in range(WRITES // 2):
        memory.messages.append(role="user", content=f"message {number}")
        remember(number)
    return [len(memory.messages), memory.kv.items(), memory.version()]


@regrow.task(isolate=True)
def isolated_diary(first: int) -> list:
    memory.messages.append(role="user", content=f"from a worker {first}")
    memory.files.write("big.txt", "x" * 200_000)
    at = memory.version()
    try:
        memory.kv.set("k", 1, expect=at - 1)
    except regrow.Conflict as conflict:
        told = [conflict.expected - conflict.actual, "isolated_diary" in str(conflict)]
    return [told, memory.messages.last(1), len(memory.files.read("big.txt")), memory.search("worker", 1)[0].kind]


@regrow.task
async def with_workers() -> list:
    return [await isolated_diary.aio(1), memory.version()]


def kill_after_a_new_write() -> None:
    """Die as soon as a memory has a version more: before the run's journal knows of it."""
    write = SqliteMemories.write

    def mortal(self, project, name, *args, **how):
        before = self.head(project, name)
        after = write(self, project, name, *args, **how)
        if self.head(project, name) != before:
            os.kill(os.getpid(), 9)
        return after

    SqliteMemories.write = mortal


def main() -> None:
    what, store = sys.argv[1:3]
    if what == "mortal":
        kill_after_a_new_write()
    if what in ("mortal", "whole"):
        print(regrow.run(diary, key="diary", store=store))
    elif what == "race":
        mine = regrow.memory("m", store=store, actor=sys.argv[3])
        at = int(sys.argv[4])
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            mine.kv.set("winner", sys.argv[3], expect=at)
        except regrow.Conflict:
            print("lost")
        else:
            print("won")
    elif what == "count":
        mine = regrow.memory("m", store=store)
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(25):
            mine.update("n", lambda n: n + 1, default=0)
            mine.messages.append(f"{sys.argv[3]} {number}")
        print("done")


if __name__ == "__main__":
    main()
