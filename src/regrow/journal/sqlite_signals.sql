-- The statements for signals, by name. Loaded once by journal/sqlite_signals.py.

-- :format_3
CREATE TABLE signals (
    run      TEXT NOT NULL,
    place    INTEGER NOT NULL,
    name     TEXT NOT NULL,
    value    BLOB NOT NULL,
    actor    TEXT NOT NULL,
    time     REAL NOT NULL,
    taken_by TEXT,
    PRIMARY KEY (run, place)
) WITHOUT ROWID;

-- Who waits for which, for people who look at a run that nobody drives.
CREATE TABLE signal_waits (
    run  TEXT NOT NULL,
    key  TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (run, key)
) WITHOUT ROWID;

-- :send
INSERT INTO signals (run, place, name, value, actor, time)
SELECT :run, 1 + coalesce(max(place), 0), :name, :value, :actor, :time FROM signals WHERE run = :run RETURNING place;

-- :taken
SELECT place, name, value, actor, time FROM signals WHERE run = ? AND taken_by = ?;

-- :take
UPDATE signals SET taken_by = ?3 WHERE run = ?1
AND place = (SELECT min(place) FROM signals WHERE run = ?1 AND name = ?2 AND taken_by IS NULL);

-- :any
SELECT 1 FROM signals WHERE run = ? AND name = ? AND taken_by IS NULL LIMIT 1;

-- :give_back
UPDATE signals SET taken_by = NULL WHERE run = ? AND taken_by = ?;

-- :expect
INSERT OR REPLACE INTO signal_waits (run, key, name) VALUES (?1, ?3, ?2);

-- :expected
SELECT DISTINCT name FROM signal_waits WHERE run = ? ORDER BY name;

-- :expect_no_more
DELETE FROM signal_waits WHERE run = ? AND key = ?;

-- :expect_nothing
DELETE FROM signal_waits WHERE run = ?;

-- :waiting
SELECT place, name, value, actor, time FROM signals WHERE run = ? AND taken_by IS NULL ORDER BY place;

-- :forget
DELETE FROM signals WHERE run = ?;
