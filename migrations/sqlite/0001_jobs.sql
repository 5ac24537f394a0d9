-- Times are microseconds since 1970, ids are UUIDs as text (so that UUIDv7 sorts by time), JSON is text.

CREATE TABLE jobs (
    id             TEXT    NOT NULL PRIMARY KEY,
    kind           TEXT    NOT NULL,
    status         TEXT    NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'canceled')),
    model          TEXT    NOT NULL,
    rows           INTEGER NOT NULL,
    priority       INTEGER NOT NULL,
    -- Creation time less 30 s for each unit of priority: claims go by it, so that a waiting job gains one unit in 30 s.
    due            INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    -- When it entered the queue last: at creation, or after the process died under it.
    queued_at      INTEGER NOT NULL,
    started_at     INTEGER,
    finished_at    INTEGER,
    deadline       INTEGER,
    attempt        INTEGER NOT NULL DEFAULT 0,
    -- Whether the newest attempt ran with no company, and how many such attempts ended with the process.
    alone          INTEGER NOT NULL DEFAULT 0,
    lone_attempts  INTEGER NOT NULL DEFAULT 0,
    evaluations    INTEGER NOT NULL DEFAULT 0,
    evaluations_of INTEGER,
    request        TEXT    NOT NULL,
    metadata       TEXT    NOT NULL,
    warnings       TEXT    NOT NULL,
    engine         TEXT,
    error          TEXT,
    usage          TEXT
) STRICT;

CREATE INDEX jobs_by_status ON jobs (status, id);
CREATE INDEX jobs_by_due ON jobs (due, id) WHERE status = 'queued' AND attempt < 2;
CREATE INDEX jobs_suspect ON jobs (lone_attempts, due, id) WHERE status = 'queued' AND attempt >= 2;
CREATE INDEX jobs_alone ON jobs (started_at) WHERE alone = 1;
CREATE INDEX jobs_by_deadline ON jobs (deadline) WHERE deadline IS NOT NULL AND finished_at IS NULL;

-- Ids are drawn when the job is inserted; a blob's key is the id.
CREATE TABLE images (
    id           TEXT    NOT NULL PRIMARY KEY,
    job          TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    seed         INTEGER NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('pending', 'ready')),
    width        INTEGER NOT NULL,
    height       INTEGER NOT NULL,
    content_type TEXT    NOT NULL,
    size_bytes   INTEGER,
    sha256       TEXT
) STRICT;

CREATE UNIQUE INDEX images_of_job ON images (job, position);

CREATE TABLE files (
    id           TEXT    NOT NULL PRIMARY KEY,
    job          TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    seed         INTEGER NOT NULL,
    kind         TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('pending', 'ready')),
    content_type TEXT    NOT NULL,
    size_bytes   INTEGER,
    sha256       TEXT
) STRICT;

CREATE UNIQUE INDEX files_of_job ON files (job, position);

-- Blobs that came in with a job, `sha256/...`; they live as long as a job names them.
CREATE TABLE inputs (
    job  TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    blob TEXT NOT NULL,
    PRIMARY KEY (blob, job)
) STRICT, WITHOUT ROWID;

CREATE INDEX inputs_of_job ON inputs (job);

-- What was erased answers 410 until the mark itself is dropped.
CREATE TABLE erased (
    id        TEXT    NOT NULL PRIMARY KEY,
    erased_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX erased_by_time ON erased (erased_at);

-- Queued jobs by model. The triggers keep it in the transaction that moves the job, whichever statement does.
CREATE TABLE depth (
    model  TEXT    NOT NULL PRIMARY KEY,
    queued INTEGER NOT NULL CHECK (queued >= 0)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER depth_inserted AFTER INSERT ON jobs WHEN new.status = 'queued' BEGIN
    INSERT INTO depth (model, queued) VALUES (new.model, 1) ON CONFLICT (model) DO UPDATE SET queued = queued + 1;
END;

CREATE TRIGGER depth_entered AFTER UPDATE OF status ON jobs WHEN new.status = 'queued' AND old.status <> 'queued' BEGIN
    UPDATE depth SET queued = queued + 1 WHERE model = new.model;
END;

CREATE TRIGGER depth_left AFTER UPDATE OF status ON jobs WHEN old.status = 'queued' AND new.status <> 'queued' BEGIN
    UPDATE depth SET queued = queued - 1 WHERE model = old.model;
END;

CREATE TRIGGER depth_deleted AFTER DELETE ON jobs WHEN old.status = 'queued' BEGIN
    UPDATE depth SET queued = queued - 1 WHERE model = old.model;
END;

-- A job with the number of older queued jobs, while it is queued itself.
CREATE VIEW placed_jobs AS
SELECT j.*, CASE WHEN j.status = 'queued' THEN
    (SELECT count(*) FROM jobs AS q WHERE q.status = 'queued' AND q.id < j.id)
END AS queue_position
FROM jobs AS j;
