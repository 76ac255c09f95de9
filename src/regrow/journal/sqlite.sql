-- The SQLite store's statements, by name. Loaded once by journal/sqlite.py.

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
       EXISTS (SELECT 1 FROM meta m WHERE m.name = 'imported ' || r.id AND m.value = quote(r.key) || quote(r.project)),
       (SELECT min(w.name) FROM signal_waits w WHERE w.run = r.id AND NOT EXISTS (
            SELECT 1 FROM signals s WHERE s.run = w.run AND s.name = w.name AND s.taken_by IS NULL))
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
