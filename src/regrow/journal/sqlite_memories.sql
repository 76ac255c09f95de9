-- The statements for agents' memories, by name. Loaded once by journal/memory_lines.py.

-- :format_3
CREATE TABLE memories (
    number  INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    name    TEXT NOT NULL,
    created REAL NOT NULL,
    UNIQUE (project, name)
);

-- Only ever added to. `hash` covers all other columns and the hash of the version before.
CREATE TABLE memory_versions (
    id           INTEGER PRIMARY KEY,
    memory       INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    key          TEXT NOT NULL,
    value        BLOB,
    run          TEXT NOT NULL,
    path         TEXT NOT NULL,
    actor        TEXT NOT NULL,
    source       TEXT NOT NULL,
    time         REAL NOT NULL,
    base_memory  INTEGER,
    base_version INTEGER,
    suspect      BLOB,
    once         TEXT,
    hash         BLOB NOT NULL,
    UNIQUE (memory, version)
);
CREATE UNIQUE INDEX memory_versions_once ON memory_versions (memory, once) WHERE once IS NOT NULL;
CREATE INDEX memory_versions_by_key ON memory_versions (memory, kind, key, version);
CREATE INDEX memory_turns ON memory_versions (memory, version) WHERE base_memory IS NOT NULL;

-- What follows from versions of the kinds quarantine, release and fork; kept apart since every read asks for it.
CREATE TABLE memory_quarantines (
    memory INTEGER NOT NULL,
    since  INTEGER NOT NULL,
    until  INTEGER,
    run    TEXT NOT NULL,
    step   TEXT NOT NULL,
    actor  TEXT NOT NULL,
    source TEXT NOT NULL
);
CREATE INDEX memory_quarantines_of ON memory_quarantines (memory);

CREATE TABLE memory_blobs (
    memory INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (memory, digest)
) WITHOUT ROWID;

-- Of the text only the index is kept: what is found is read from the version, whose hash is checked.
CREATE VIRTUAL TABLE memory_text USING fts5 (
    text, place, content = '', contentless_delete = 1, tokenize = 'porter unicode61 remove_diacritics 2'
);

CREATE TABLE memory_vectors (
    id      INTEGER NOT NULL,
    model   TEXT NOT NULL,
    numbers BLOB NOT NULL,
    PRIMARY KEY (id, model)
) WITHOUT ROWID;

-- :number
SELECT number FROM memories WHERE project = ? AND name = ?;

-- :make
INSERT INTO memories (project, name, created) VALUES (?, ?, ?) RETURNING number;

-- :overtaken
SELECT 1 FROM runs WHERE id = ? AND epoch > ?;

-- :done_before
SELECT version FROM memory_versions WHERE memory = ? AND once = ?;

-- :head
SELECT version, coalesce(CAST(hash AS BLOB), x'') FROM memory_versions WHERE memory = ? ORDER BY version DESC LIMIT 1;

-- :hash
SELECT coalesce(CAST(hash AS BLOB), x'') FROM memory_versions WHERE memory = ? AND version = ?;

-- :add
INSERT INTO memory_versions
    (memory, version, kind, key, value, run, path, actor, source, time, base_memory, base_version, suspect, once, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id;

-- :index
INSERT INTO memory_text (rowid, text, place) VALUES (?, ?, 'm' || ?);

-- :hold
INSERT OR IGNORE INTO memory_blobs (memory, digest) VALUES (?, ?);

-- :quarantine
INSERT INTO memory_quarantines (memory, since, run, step, actor, source)
VALUES (:memory, :version, :run, :step, :actor, :source);

-- :release
UPDATE memory_quarantines SET until = :version WHERE memory = :memory AND until IS NULL
AND run = :run AND step = :step AND actor = :actor AND source = :source;

-- :inherit
-- A fork begins with the quarantines that are in force where it parts.
INSERT INTO memory_quarantines (memory, since, run, step, actor, source)
SELECT ?1, 1, run, step, actor, source FROM memory_quarantines
WHERE memory = ?2 AND since <= ?3 AND (until IS NULL OR until > ?3);

-- :line
-- The line of a version, as ranges of versions. Depth 0 is the latest; each has a `low` that is a fork or revert, or 1.
WITH RECURSIVE line (depth, memory, low, high) AS (
    SELECT 0, :memory,
           coalesce((SELECT max(version) FROM memory_versions
                     WHERE memory = :memory AND version <= :version AND base_memory IS NOT NULL), 1),
           :version
    UNION ALL
    SELECT line.depth + 1, t.base_memory,
           coalesce((SELECT max(version) FROM memory_versions
                     WHERE memory = t.base_memory AND version <= t.base_version AND base_memory IS NOT NULL), 1),
           t.base_version
    FROM line JOIN memory_versions t
    ON t.memory = line.memory AND t.version = line.low AND t.base_memory IS NOT NULL AND t.version <= line.high
)

-- :trusted
-- Whether a version `v` is not in quarantine at the version that is read.
NOT EXISTS (
    SELECT 1 FROM memory_quarantines q
    WHERE q.memory = :memory AND q.since <= :version AND (q.until IS NULL OR q.until > :version)
    AND (q.run = '' OR q.run = v.run) AND (q.actor = '' OR q.actor = v.actor) AND (q.source = '' OR q.source = v.source)
    AND (q.step = '' OR CASE WHEN instr(q.step, '#') THEN instr(v.path || '/', q.step || '/') = 1
                             ELSE instr('/' || v.path, '/' || q.step || '#') END)
)

-- :columns
-- A version as it is read, with the hash of the version before it.
m.name, v.version, v.kind, v.key, CAST(v.value AS BLOB), v.run, v.path, v.actor, v.source, v.time,
b.name, v.base_version, CAST(v.suspect AS BLOB), v.once, coalesce(CAST(v.hash AS BLOB), x''),
coalesce((SELECT CAST(p.hash AS BLOB) FROM memory_versions p WHERE p.memory = v.memory AND p.version = v.version - 1), x'')

-- :names
JOIN memories m ON m.number = v.memory LEFT JOIN memories b ON b.number = v.base_memory

-- :on_line
JOIN memory_versions v INDEXED BY memory_versions_by_key ON v.memory = line.memory AND v.version BETWEEN line.low AND line.high

-- :ranges
SELECT memory, low, high FROM line ORDER BY depth;

-- :messages
-- Of one range, so that the index gives them in their order: the last of ten thousand are read as fast as of ten.
SELECT {columns} FROM memory_versions v INDEXED BY memory_versions_by_key {names}
WHERE v.memory = :of AND v.kind = 'message' AND v.key = '' AND v.version BETWEEN :low AND :high AND {trusted}
ORDER BY v.version

-- :forwards
LIMIT :limit OFFSET :after;

-- :backwards
DESC LIMIT :limit OFFSET :after;

-- :count_between
SELECT count(*) FROM memory_versions v INDEXED BY memory_versions_by_key
WHERE v.memory = :of AND v.kind = 'message' AND v.key = '' AND v.version BETWEEN :low AND :high AND {trusted};

-- :fact
SELECT {columns}, v.memory FROM line {on_line} {names} WHERE v.kind = :kind AND v.key = :key AND {trusted}
ORDER BY line.depth, v.version DESC LIMIT 1;

-- :keyed
-- Documents and files, each key's latest version first.
SELECT v.kind, v.key, m.name, v.version, v.value IS NULL FROM line {on_line} {names}
WHERE v.kind IN ('document', 'file') AND {trusted} ORDER BY v.kind, v.key, line.depth, v.version DESC;

-- :message_places
SELECT v.kind, v.key, m.name, v.version FROM line {on_line} {names} WHERE v.kind = 'message' AND {trusted}
ORDER BY line.depth DESC, v.version;

-- :of_memory
SELECT {columns} FROM memory_versions v {names}
WHERE v.memory = ? AND v.version > ? AND v.version <= ? ORDER BY v.version LIMIT ?;

-- :suspects
SELECT run, step, actor, source FROM memory_quarantines
WHERE memory = :memory AND since <= :version AND (until IS NULL OR until > :version) ORDER BY rowid;

-- :places_of_line
SELECT group_concat('m' || memory, ' OR ') FROM (SELECT DISTINCT memory FROM line);

-- :search
-- The words first: a line may be long, and few of it have them.
SELECT v.kind, v.key, v.memory, v.version, -bm25(memory_text, 1.0, 0.0) AS score
FROM memory_text t CROSS JOIN memory_versions v ON v.id = t.rowid
JOIN line ON v.memory = line.memory AND v.version BETWEEN line.low AND line.high
WHERE memory_text MATCH :match AND v.kind IN ('message', 'document', 'file') AND {trusted}
ORDER BY score DESC, line.depth, v.version DESC;

-- :rows
SELECT m.number, m.name, max(v.version), m.created, max(v.time), 0,
       total(length(v.key) + coalesce(length(v.value), 0) + length(v.run) + length(v.path) + length(v.actor)
             + length(v.source) + 80),
       max((SELECT b.name FROM memories b WHERE b.number = v.base_memory AND v.version = 1))
FROM memories m JOIN memory_versions v ON v.memory = m.number
WHERE ?1 IS NULL OR m.project = ?1 GROUP BY m.number ORDER BY m.project, m.name;

-- :forks_of
SELECT DISTINCT m.name FROM memory_versions v JOIN memories m ON m.number = v.memory
WHERE v.base_memory = ?1 AND v.memory <> ?1 ORDER BY m.name;

-- :forget
DELETE FROM memory_text WHERE rowid IN (SELECT id FROM memory_versions WHERE memory = :memory);
DELETE FROM memory_vectors WHERE id IN (SELECT id FROM memory_versions WHERE memory = :memory);
DELETE FROM memory_versions WHERE memory = :memory;
DELETE FROM memory_quarantines WHERE memory = :memory;
DELETE FROM memory_blobs WHERE memory = :memory;
DELETE FROM memories WHERE number = :memory;

-- :blobs
SELECT DISTINCT digest FROM memory_blobs;

-- :all
SELECT number, name FROM memories ORDER BY project, name;

-- :blobs_of
SELECT digest FROM memory_blobs WHERE memory = ?;

-- :quarantines_of
SELECT since, until, run, step, actor, source FROM memory_quarantines WHERE memory = ? ORDER BY rowid;

-- :id
SELECT v.id FROM memory_versions v JOIN memories m ON m.number = v.memory
WHERE m.project = ? AND m.name = ? AND v.version = ?;

-- :vector
SELECT CAST(x.numbers AS BLOB) FROM memory_versions v JOIN memories m ON m.number = v.memory
JOIN memory_vectors x ON x.id = v.id AND x.model = ? WHERE m.project = ? AND m.name = ? AND v.version = ?;

-- :keep_vector
INSERT OR REPLACE INTO memory_vectors (id, model, numbers) VALUES (?, ?, ?);
