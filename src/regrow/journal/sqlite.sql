-- The SQLite store's statements, by name. Loaded once by journal/sqlite.py.

-- Formats are steps: a new store takes all of them, an older one those that it lacks, so both come out the same. What
-- a store has may be added to with a default, never renamed or dropped: an older regrow that has it open goes on writing.

-- :format_1
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

-- :format_2
-- How many records of the run refer to the blob. 1 will do for what is there: only a checkpoint's reference is ever
-- taken back, and format 1 knew none; it had counted the references of a run's records to one blob as one.
ALTER TABLE blobs ADD COLUMN uses INTEGER NOT NULL DEFAULT 1;

-- Of tasks, not of runs: sizes outlive the run that they were seen in.
CREATE TABLE sizes (
    project     TEXT NOT NULL,
    task        TEXT NOT NULL,
    input_class INTEGER NOT NULL,
    place       INTEGER NOT NULL,
    memory      INTEGER NOT NULL,
    peak        INTEGER,
    run         TEXT NOT NULL,
    time        REAL NOT NULL,
    PRIMARY KEY (project, task, input_class, place)
) WITHOUT ROWID;

-- :format_3
ALTER TABLE runs ADD COLUMN pause_requested_by TEXT;
ALTER TABLE runs ADD COLUMN paused_at REAL;
ALTER TABLE runs ADD COLUMN pause_grace REAL;
ALTER TABLE runs ADD COLUMN cancel_grace REAL;

-- Of projects; an empty name stands for all of them.
CREATE TABLE stops (
    project TEXT PRIMARY KEY,
    actor   TEXT NOT NULL,
    time    REAL NOT NULL,
    reason  TEXT NOT NULL
) WITHOUT ROWID;

-- :create
INSERT INTO runs (id, project, key, task, created, epoch) VALUES (:id, :project, :key, :task, :created, :epoch)
ON CONFLICT DO NOTHING;

-- :note_import
-- Its records say what it was called elsewhere, so that here there is nothing else to compare the row with.
INSERT OR REPLACE INTO meta SELECT 'imported ' || id, quote(key) || quote(project) FROM runs WHERE id = ?;

-- :forget_import
DELETE FROM meta WHERE name = 'imported ' || ?;

-- :rows
SELECT r.id, r.task, r.created, r.key, r.project, r.outcome, r.epoch, coalesce(l.holder, ''),
       r.outcome IS NULL AND coalesce(l.until, 0) > machine_seconds(), r.ended, r.cancel_requested_by,
       (SELECT a.question FROM asks a WHERE a.run = r.id AND a.decided IS NULL ORDER BY a.asked LIMIT 1),
       r.pause_requested_by, r.paused_at,
       EXISTS (SELECT 1 FROM meta m WHERE m.name = 'imported ' || r.id AND m.value = quote(r.key) || quote(r.project))
FROM runs r LEFT JOIN leases l USING (number)

-- :ids
SELECT r.number, CAST(r.id AS BLOB) FROM runs r

-- :read
-- Damage can turn a column into one of another type; as bytes, it meets the comparison of hashes.
SELECT seq, coalesce(CAST(body AS BLOB), x''), coalesce(CAST(hash AS BLOB), x'') FROM records
WHERE number = (SELECT number FROM runs WHERE id = ?) AND seq > ? ORDER BY seq LIMIT ?;

-- :lease
SELECT r.number, r.epoch, l.holder, coalesce(l.until, 0) > machine_seconds()
FROM runs r LEFT JOIN leases l USING (number) WHERE r.id = ?;

-- :claim
UPDATE runs SET epoch = epoch + 1, cancel_requested_by = NULL WHERE number = ?;

-- :take
INSERT INTO leases (number, holder, until) VALUES (?, ?, machine_seconds() + ?)
ON CONFLICT (number) DO UPDATE SET holder = excluded.holder, until = excluded.until;

-- :renew
UPDATE leases SET until = machine_seconds() + ? WHERE holder = ? AND until > 0;

-- :held
SELECT r.id, r.cancel_requested_by FROM leases l JOIN runs r USING (number) WHERE l.holder = ? AND l.until > 0;

-- :cancel
UPDATE runs SET cancel_requested_by = ?, cancel_grace = ? WHERE id = ?;

-- :pause
UPDATE runs SET pause_requested_by = coalesce(pause_requested_by, ?), pause_grace = ?,
paused_at = coalesce(paused_at, unixepoch('subsec')) WHERE id = ?;

-- :lift_pause
UPDATE runs SET pause_requested_by = NULL, paused_at = NULL WHERE id = ?;

-- :orders
SELECT r.id, iif(r.cancel_requested_by IS NULL, 'pause', 'cancel'), coalesce(r.cancel_requested_by, r.pause_requested_by),
       iif(r.cancel_requested_by IS NULL, r.pause_grace, r.cancel_grace)
FROM leases l JOIN runs r USING (number)
WHERE l.holder = ? AND l.until > 0 AND coalesce(r.cancel_requested_by, r.pause_requested_by) IS NOT NULL;

-- :stop
INSERT INTO stops (project, actor, time, reason) VALUES (?, ?, unixepoch('subsec'), ?) ON CONFLICT (project) DO NOTHING;

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
INSERT INTO blobs (number, digest) VALUES (?, ?) ON CONFLICT (number, digest) DO UPDATE SET uses = uses + 1;

-- :unrefer
UPDATE blobs SET uses = uses - 1 WHERE number = (SELECT number FROM runs WHERE id = ?) AND digest = ?;

-- :forget_unused
DELETE FROM blobs WHERE number = (SELECT number FROM runs WHERE id = ?) AND uses <= 0;

-- :blobs_of
SELECT DISTINCT digest FROM blobs WHERE ?1 IS NULL OR number = (SELECT number FROM runs WHERE id = ?1);

-- :end
UPDATE runs SET outcome = ?, ended = ?, pause_requested_by = NULL, paused_at = NULL WHERE number = ?;

-- :let_go
UPDATE leases SET until = 0 WHERE number = ?;

-- :log
INSERT INTO logs (number, line, body)
SELECT r.number, 1 + coalesce((SELECT max(line) FROM logs WHERE number = r.number), 0), ?2 FROM runs r WHERE r.id = ?1;

-- :read_logs
SELECT line, coalesce(CAST(body AS BLOB), x'') FROM logs
WHERE number = (SELECT number FROM runs WHERE id = ?) AND line > ? ORDER BY line;

-- :remember_size
-- By place and not by time: clocks of two machines, or of one that was set, do not agree on which size is the latest.
INSERT INTO sizes (project, task, input_class, place, memory, peak, run, time)
SELECT :project, :task, :input_class, 1 + coalesce(max(place), 0), :memory, :peak, :run, :time FROM sizes
WHERE project = :project AND task = :task AND input_class = :input_class;

-- :forget_sizes
DELETE FROM sizes WHERE project = ?1 AND task = ?2 AND input_class = ?3
AND place <= (SELECT max(place) FROM sizes WHERE project = ?1 AND task = ?2 AND input_class = ?3) - ?4;

-- :sizes
SELECT task, input_class, memory, peak, run, time FROM sizes
WHERE project = ? AND task = ? AND input_class = ? ORDER BY place DESC;
