-- The shared cache's statements, by name. Loaded once by journal/sqlite_cache.py.

-- :format_3
-- `body` is the artifact as msgpack, `hash` its SHA-256: nothing is served that was not written so. What stands beside
-- is for lists. `bound` is the only run that can use it, if it is bound to one.
CREATE TABLE cache_artifacts (
    key      TEXT PRIMARY KEY,
    project  TEXT NOT NULL,
    ref      TEXT NOT NULL,
    run      TEXT NOT NULL,
    path     TEXT NOT NULL,
    computed REAL NOT NULL,
    seconds  REAL NOT NULL,
    cost     INTEGER NOT NULL,
    failed   INTEGER NOT NULL,
    hits     INTEGER NOT NULL DEFAULT 0,
    used     REAL NOT NULL,
    bound    TEXT,
    hash     BLOB NOT NULL,
    body     BLOB NOT NULL
);

-- `until` is null as long as there is the artifact.
CREATE TABLE cache_blobs (
    key    TEXT NOT NULL,
    digest TEXT NOT NULL,
    until  REAL,
    PRIMARY KEY (key, digest)
) WITHOUT ROWID;

-- Who computes what. A flight is over with the lease under which it began.
CREATE TABLE cache_flights (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key    TEXT NOT NULL UNIQUE,
    run    TEXT NOT NULL,
    epoch  INTEGER NOT NULL,
    path   TEXT NOT NULL
);
CREATE INDEX cache_flights_by_run ON cache_flights (run);

-- The flight for `key` cannot land before the one for `awaited` has.
CREATE TABLE cache_waits (
    key     TEXT NOT NULL,
    awaited TEXT NOT NULL,
    PRIMARY KEY (key, awaited)
) WITHOUT ROWID;

-- :artifact
SELECT coalesce(CAST(body AS BLOB), x''), coalesce(CAST(hash AS BLOB), x'') FROM cache_artifacts WHERE key = ?;

-- :flight
SELECT number, run, epoch, path FROM cache_flights WHERE key = ?;

-- :begin
INSERT INTO cache_flights (key, run, epoch, path) VALUES (?, ?, ?, ?) RETURNING number;

-- :end_key
DELETE FROM cache_flights WHERE key = ? RETURNING key;

-- :end_number
DELETE FROM cache_flights WHERE number = ? RETURNING key;

-- :end_inside
DELETE FROM cache_flights WHERE run = ?1 AND substr(path, 1, length(?2) + 1) = ?2 || '/' RETURNING key;

-- :forget_waits
DELETE FROM cache_waits WHERE key = ?1 OR awaited = ?1;

-- :around
-- What the calls around a call compute.
SELECT key FROM cache_flights WHERE run = ?1 AND substr(?2, 1, length(path) + 1) = path || '/';

-- :wait
INSERT OR IGNORE INTO cache_waits (key, awaited) VALUES (?, ?);

-- :awaits
WITH RECURSIVE awaited (key) AS (
    VALUES (?1)
    UNION SELECT w.awaited FROM cache_waits w JOIN awaited a ON w.key = a.key
)
SELECT 1 FROM awaited WHERE key = ?2;

-- :put
INSERT INTO cache_artifacts (key, project, ref, run, path, computed, seconds, cost, failed, used, bound, hash, body)
VALUES (:key, :project, :ref, :run, :path, :computed, :seconds, :cost, :failed, :computed, :bound, :hash, :body)
ON CONFLICT (key) DO UPDATE SET project = excluded.project, ref = excluded.ref, run = excluded.run,
    path = excluded.path, computed = excluded.computed, seconds = excluded.seconds, cost = excluded.cost,
    failed = excluded.failed, used = excluded.used, bound = excluded.bound, hash = excluded.hash, body = excluded.body;

-- :hold
INSERT INTO cache_blobs (key, digest) VALUES (?, ?) ON CONFLICT (key, digest) DO UPDATE SET until = NULL;

-- :let_go
UPDATE cache_blobs SET until = ?2 WHERE key = ?1 AND until IS NULL;

-- :drop_blobs
DELETE FROM cache_blobs WHERE until <= ?;

-- :drop
DELETE FROM cache_artifacts WHERE key = ?;

-- :bound_to
SELECT key FROM cache_artifacts WHERE bound = ?;

-- :used
UPDATE cache_artifacts SET hits = hits + ?2, used = max(used, ?3) WHERE key = ?1;

-- :rows
SELECT a.key, a.project, a.ref, a.run, a.path, a.computed, a.seconds, a.cost, a.failed, a.hits, a.used, length(a.body),
       coalesce((SELECT group_concat(b.digest) FROM cache_blobs b WHERE b.key = a.key AND b.until IS NULL), '')
FROM cache_artifacts a ORDER BY a.used DESC, a.key;

-- :blobs
SELECT DISTINCT digest FROM cache_blobs WHERE until IS NULL OR until > ?;
