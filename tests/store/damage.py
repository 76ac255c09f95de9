"""A campaign of damage over whole stores: bits, cuts, torn sectors and misplaced pages in whatever file it hits.

`campaign` is what both the test and the report on reliability call. Each round copies the store of `damaged_store.py`,
damages the copy by its seed, and hands it to a process that looks at it and goes on with it as a user does.
"""

from __future__ import annotations

import json
import random
import select
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import apsw
import msgspec

PROGRAM = Path(__file__).with_name("damaged_store.py")
_ANSWER_SECONDS = 60.0
"""For one damaged store: some fifty times as long as it takes."""
_PAGE, _SECTOR = 4096, 512
_WAL_HEADER, _FRAME_HEADER = 32, 24


class Figures(msgspec.Struct):
    """What a campaign came to, in rounds.

    Attributes:
        kinds: how many of each kind of damage.
        detected: something was refused, by name, and nothing else was wrong.
        harmless: all was read as it was written: the damage hit nothing that is in use.
        tail_lost: the damage ended the log early, and all is exactly as a power cut before that commit had left it.
        unseen: what lies outside of the chains of the records was taken for true: a row of the list of runs, or records
            cut off at the end of a chain. By what was seen.
        noticed: how many of these `regrow doctor` would have named.
        resumed: unfinished runs that went on to the right result, in damaged stores.
        violations: wrong data, another result, an error that names nothing, a crash, a hang; with what repeats it.
    """

    seed: int
    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    detected: int = 0
    harmless: int = 0
    tail_lost: int = 0
    unseen: Counter[str] = msgspec.field(default_factory=Counter)
    noticed: int = 0
    resumed: int = 0
    violations: list[str] = msgspec.field(default_factory=list)
    examples: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def rounds(self):
        """How many there were."""
        return self.kinds.total()

    @property
    def harmful(self):
        """How many rounds ended in what must never happen."""
        return len(self.violations)

    def describe(self):
        """Say it in a few lines."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        unseen = ", ".join(f"{count} {what}" for what, count in sorted(self.unseen.items())) or "none"
        return (
            f"{self.rounds} rounds ({kinds}): {self.detected} detected, {self.harmless} harmless, "
            f"{self.tail_lost} lost the log's tail as a power cut would, {self.unseen.total()} outside of the chains "
            f"and unseen ({unseen}; {self.noticed} of them seen by doctor), {self.harmful} harmful; "
            f"{self.resumed} unfinished runs went on"
        )


# -- damage ------------------------------------------------------------------------------------------------------------


def flip(content, dice):
    bit = dice.randrange(len(content) * 8)
    content[bit // 8] ^= 1 << bit % 8


def cut(content, dice):
    del content[dice.randrange(len(content)) :]


def tear(content, dice):
    size = dice.choice((_SECTOR, _PAGE))
    at = dice.randrange(-(-len(content) // size)) * size
    content[at : at + size] = bytes(len(content[at : at + size]))


def misplace(content, dice):
    """Let a page lie where another belongs; in the log, a frame."""
    head, size = (0, _PAGE) if content[:6] == b"SQLite" else (_WAL_HEADER, _PAGE + _FRAME_HEADER)
    pages = (len(content) - head) // size
    if pages > 1:
        one, other = (head + page * size for page in dice.sample(range(pages), 2))
        content[one : one + size] = content[other : other + size]


_HARMS = {"a flipped bit": flip, "a cut": cut, "a torn write": tear, "a misplaced page": misplace}
_GARBAGE = (None, "", "garbage", b"\xff\x00", 0, -1, 2**62, 1e300, "succeeded")


def spoil(home, dice):
    """Change a value in a row, as no bit alone would: another type, another number, nothing."""
    db = apsw.Connection(str(home / "journal.db"))
    try:
        columns = db.execute(
            "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
        ).fetchall()
        table, column = dice.choice(columns)
        rows = db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
        found = db.execute(f"SELECT {column} FROM {table} LIMIT 1 OFFSET ?", (dice.randrange(max(1, rows)),)).fetchall()
        value = dice.choice(_GARBAGE)
        if found and dice.randrange(2) and isinstance(found[0][0], str | int | float):
            former = found[0][0]
            value = former[:-1] + "?" if isinstance(former, str) else former + dice.choice((-1, 1))
        place = f"{table}.{column}"
        with_key = db.execute("SELECT wr FROM pragma_table_list WHERE name = ?", (table,)).fetchall()[0][0]
        number = dice.randrange(max(1, rows))
        if with_key:
            keys = [name for name, pk in db.execute(f"SELECT name, pk FROM pragma_table_info('{table}')") if pk]
            row = db.execute(f"SELECT {', '.join(keys)} FROM {table} LIMIT 1 OFFSET ?", (number,)).fetchall()
            where = " AND ".join(f"{key} IS ?" for key in keys)
        else:
            row = db.execute(f"SELECT rowid FROM {table} LIMIT 1 OFFSET ?", (number,)).fetchall()
            where = "rowid = ?"
        if row:
            try:
                db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, *row[0]))
            except apsw.Error:
                return f"{place}, which would not take {value!r}"
        return f"{place} became {value!r}"
    finally:
        db.close()


def damage(home, dice):
    """Damage a store; give the kind of damage, and where it is."""
    blobs = sorted((home / "blobs").glob("??/*"))
    drawn = dice.randrange(10)
    if drawn == 0:
        victim = dice.choice(blobs)
        victim.unlink()
        return "a missing blob", str(victim.relative_to(home))
    if drawn == 1:
        return "a spoiled row", spoil(home, dice)
    file = home / "journal.db" if drawn < 5 else home / "journal.db-wal" if drawn < 8 else dice.choice(blobs)
    what = dice.choice(list(_HARMS))
    content = bytearray(file.read_bytes())
    _HARMS[what](content, dice)
    file.chmod(0o600)
    file.write_bytes(content)
    part = "the database" if file.name == "journal.db" else "the log" if file.name.endswith("-wal") else "a blob"
    return f"{what} in {part}", str(file.relative_to(home))


# -- judging -----------------------------------------------------------------------------------------------------------


class _Judge:
    """The process that meets the damage. One that dies or stops over it is replaced."""

    def __init__(self, folder, *, blind):
        self._command = [sys.executable, str(PROGRAM), "judge blindly" if blind else "judge", str(folder)]
        self._process = None

    def ask(self, home):
        """Give what is judged of a store; a text if nothing is, because of a crash or a hang."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        self._process.stdin.write(f"{home}\n".encode())
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], _ANSWER_SECONDS)
        line = self._process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)
        hung = not ready
        self.close()
        return "it hung" if hung else "its process died"

    def close(self):
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def campaign(folder, seed, rounds, *, blind=False, first=0):
    """Damage stores, and see what a user meets.

    Args:
        folder: an empty one, to work in.
        seed: decides all of the damage.
        rounds: how many.
        blind: compare no hashes; the control.
        first: the round to begin with, to repeat that one.
    """
    subprocess.run([sys.executable, str(PROGRAM), "make", str(folder)], check=True)
    unfinished = [key for key, left in json.loads((folder / "truth.json").read_bytes())["remaining"].items() if left]
    figures = Figures(seed)
    judge = _Judge(folder, blind=blind)
    home = folder / "damaged"
    try:
        for number in range(first, first + rounds):
            shutil.copytree(folder / "template", home)
            kind, where = damage(home, random.Random(f"{seed} {number}"))
            figures.kinds[kind] += 1
            verdict = judge.ask(home)
            count(figures, kind, f"round {number}: {kind} ({where})", verdict, unfinished)
            shutil.rmtree(home)
    finally:
        judge.close()
    return figures


def count(figures, kind, where, verdict, unfinished):
    """Add one round to the figures."""
    if isinstance(verdict, str):
        figures.violations.append(f"{where}: {verdict}")
        return
    looks, asked = verdict["looks"], verdict["asked"]
    figures.resumed += sum(asked[key] in ("right", "again") for key in unfinished)
    wrong = list(verdict["broken"])
    if "blob" in kind:
        wrong += [f"{key} is cut by damage to a blob" for key, look in looks.items() if look not in ("same", "refused")]
        wrong += [f"{key} does not go on" for key in unfinished if (looks[key], asked[key]) == ("same", "refused")]
    lost = verdict["moment"] and not verdict["whole"]
    unseen = {look for look in looks.values() if look not in ("same", "refused")}
    if any(asked[key] == "again" and looks[key] == "same" for key in looks):
        unseen.add("executed again")
    if wrong:
        figures.violations.append(f"{where}: {'; '.join(wrong)}")
    elif lost and "log" in kind:
        figures.tail_lost += 1
    elif unseen:
        for what in unseen:
            figures.unseen[what] += 1
            figures.examples.setdefault(f"{what}, {kind}", where)
        figures.noticed += verdict["doctor"]
    elif "refused" in (*looks.values(), *asked.values()):
        figures.detected += 1
    else:
        figures.harmless += 1


def main():
    """Run a campaign by hand: ``python damage.py FOLDER SEED ROUNDS [FIRST]``."""
    folder, seed, rounds, *first = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    figures = campaign(Path(folder), int(seed), int(rounds), first=int(*first or "0"))
    print(figures.describe(), *figures.violations, json.dumps(figures.examples, indent=1), sep="\n")


if __name__ == "__main__":
    main()
