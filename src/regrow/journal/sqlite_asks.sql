-- The statements for questions to people, by name. Loaded once by journal/sqlite_asks.py.

-- :format_3
CREATE TABLE asks (
    id         TEXT PRIMARY KEY,
    run        TEXT NOT NULL,
    project    TEXT NOT NULL,
    path       TEXT NOT NULL,
    question   TEXT NOT NULL,
    asked      REAL NOT NULL,
    due        REAL,
    remind     REAL,
    approvals  INTEGER NOT NULL,
    told       INTEGER NOT NULL DEFAULT 0,
    digest     TEXT NOT NULL,
    shown      BLOB NOT NULL,
    decided    TEXT,
    decided_at REAL
) WITHOUT ROWID;
CREATE INDEX asks_by_run ON asks (run);
CREATE INDEX asks_open ON asks (run, asked) WHERE decided IS NULL;

CREATE TABLE answers (
    ask     TEXT NOT NULL REFERENCES asks (id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    who     TEXT NOT NULL,
    how     TEXT NOT NULL,
    time    REAL NOT NULL,
    why     TEXT NOT NULL,
    value   BLOB NOT NULL,
    verdict TEXT NOT NULL,
    refused TEXT NOT NULL DEFAULT '',
    nonce   TEXT,
    PRIMARY KEY (ask, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX answers_by_nonce ON answers (nonce) WHERE nonce IS NOT NULL;

-- :post
INSERT INTO asks (id, run, project, path, question, asked, due, remind, approvals, digest, shown)
VALUES (:id, :run, :project, :path, :question, :asked, :due, :remind, :approvals, :digest, :shown)
ON CONFLICT (id) DO UPDATE SET decided = NULL, decided_at = NULL WHERE decided = 'withdrawn' AND run = excluded.run;

-- :rows
SELECT id, run, project, path, asked, due, remind, told, digest, shown, decided, decided_at FROM asks

-- :answers
SELECT who, how, time, value, verdict, why, number, refused, nonce FROM answers WHERE ask = ? ORDER BY number;

-- :decide
-- The one statement that decides, whatever it is that does: it finds the question undecided, or does nothing.
UPDATE asks SET decided = ?3, decided_at = ?4 WHERE id = ?2 AND run = ?1 AND decided IS NULL;

-- :give
-- One person's one answer, while the question is open and has time left. Who answers from two machines is one person:
-- what comes after the @ does not count, as it does not for `to=`.
INSERT INTO answers (ask, number, who, how, time, why, value, verdict, nonce)
SELECT id, 1 + coalesce((SELECT max(number) FROM answers WHERE ask = asks.id), 0),
       :who, :how, :time, :why, :value, :verdict, :nonce
FROM asks
WHERE id = :ask AND decided IS NULL AND (due IS NULL OR due > :time)
  AND NOT EXISTS (
    SELECT 1 FROM answers WHERE ask = asks.id AND refused = ''
    AND substr(who, 1, instr(who || '@', '@') - 1) = substr(:who, 1, instr(:who || '@', '@') - 1)
  );

-- :decide_by_answer
-- A yes decides when enough people have said it; whatever else is said decides at once.
UPDATE asks SET decided = 'answered', decided_at = ?2 WHERE id = ?1 AND decided IS NULL
AND (?3 <> 'yes' OR approvals <= (
    SELECT count(DISTINCT who) FROM answers WHERE ask = asks.id AND verdict = 'yes' AND refused = ''
));

-- :refuse
UPDATE answers SET refused = ?4 WHERE ask = (SELECT id FROM asks WHERE run = ?1 AND id = ?2) AND number = ?3;

-- :reopen
UPDATE asks SET decided = NULL, decided_at = NULL WHERE run = ? AND id = ? AND decided = 'answered';

-- :told
UPDATE asks SET told = max(told, ?3) WHERE run = ?1 AND id = ?2;

-- :forget
DELETE FROM asks WHERE run = ?;
