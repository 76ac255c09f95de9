-- The SQLite store's statements, by name. Loaded once by journal/sqlite.py.

-- :schema
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- `number` keys the records: 26 characters in each of a run's thousand records would be most of what they weigh.
CREATE TABLE runs (
    number              INTEGER PRIMARY KEY,
    id                  TEXT NOT NULL UNIQUE,
    project             TEXT NOT NULL,
    key                 TEXT,
    task                TEXT NOT NULL,
    created             REAL NOT NULL,
    ended               REAL,
    outcome             TEXT,
    epoch               INTEGER NOT NULL DEFAULT 0,
    cancel_requested_by TEXT
);
CREATE UNIQUE INDEX runs_by_key ON runs (project, key) WHERE key IS NOT NULL;

-- Leases apart from runs: a heartbeat rewrites them every few seconds, and `runs` is read at every append.
CREATE TABLE leases (
    number INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    holder TEXT NOT NULL,
    until  REAL NOT NULL
);
CREATE INDEX leases_by_holder ON leases (holder);

CREATE TABLE records (
    number INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (number, seq)
) WITHOUT ROWID;

CREATE TABLE blobs (
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (number, digest)
) WITHOUT ROWID;

CREATE TABLE logs (
    number INTEGER NOT NULL,
    line   INTEGER NOT NULL,
    body   BLOB NOT NULL,
    PRIMARY KEY (number, line)
) WITHOUT ROWID;

-- :create
INSERT INTO runs (id, project, key, task, created) VALUES (:id, :project, :key, :task, :created)
ON CONFLICT (project, key) WHERE key IS NOT NULL DO NOTHING;

-- :rows
SELECT r.id, r.task, r.created, r.key, r.project, r.outcome, r.epoch, coalesce(l.holder, ''),
       r.outcome IS NULL AND coalesce(l.until, 0) > unixepoch('subsec'), r.ended, r.cancel_requested_by
FROM runs r LEFT JOIN leases l USING (number)

-- :read
-- Damage can turn a column into one of another type; as bytes, it meets the comparison of hashes.
SELECT seq, coalesce(CAST(body AS BLOB), x''), coalesce(CAST(hash AS BLOB), x'') FROM records
WHERE number = (SELECT number FROM runs WHERE id = ?) AND seq > ? ORDER BY seq LIMIT ?;

-- :lease
SELECT r.number, r.epoch, l.holder, coalesce(l.until, 0) > unixepoch('subsec')
FROM runs r LEFT JOIN leases l USING (number) WHERE r.id = ?;

-- :claim
UPDATE runs SET epoch = epoch + 1, cancel_requested_by = NULL WHERE number = ?;

-- :take
INSERT INTO leases (number, holder, until) VALUES (?, ?, unixepoch('subsec') + ?)
ON CONFLICT (number) DO UPDATE SET holder = excluded.holder, until = excluded.until;

-- :renew
UPDATE leases SET until = unixepoch('subsec') + ? WHERE holder = ? AND until > 0;

-- :held
SELECT r.id, r.cancel_requested_by FROM leases l JOIN runs r USING (number) WHERE l.holder = ? AND l.until > 0;

-- :release
UPDATE leases SET until = 0 WHERE number = (SELECT number FROM runs WHERE id = ? AND epoch = ?);

-- :append
-- Fence and append in one statement: no row comes out of the SELECT once the epoch has moved on, or if the record does
-- not follow the last one.
INSERT INTO records (number, seq, hash, body) SELECT number, ?2, ?3, ?4 FROM runs
WHERE id = ?1 AND epoch = ?5 AND ?2 = 1 + coalesce((SELECT max(seq) FROM records WHERE number = runs.number), 0);

-- :end_of
SELECT number, coalesce((SELECT max(seq) FROM records WHERE number = runs.number), 0) FROM runs WHERE id = ? AND epoch = ?;

-- :append_many
INSERT INTO records (number, seq, hash, body) VALUES (?, ?, ?, ?);

-- :refer
INSERT OR IGNORE INTO blobs (number, digest) VALUES (?, ?);

-- :blobs_of
SELECT DISTINCT digest FROM blobs WHERE ?1 IS NULL OR number = (SELECT number FROM runs WHERE id = ?1);

-- :end
UPDATE runs SET outcome = ?, ended = ? WHERE number = ?;

-- :let_go
UPDATE leases SET until = 0 WHERE number = ?;

-- :log
INSERT INTO logs (number, line, body)
SELECT r.number, 1 + coalesce((SELECT max(line) FROM logs WHERE number = r.number), 0), ?2 FROM runs r WHERE r.id = ?1;

-- :read_logs
SELECT line, body FROM logs WHERE number = (SELECT number FROM runs WHERE id = ?) AND line > ? ORDER BY line;
