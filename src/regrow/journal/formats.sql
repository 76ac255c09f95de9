-- The tables of runs, format by format. Loaded once by journal/formats.py.

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
