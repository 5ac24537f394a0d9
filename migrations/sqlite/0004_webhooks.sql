-- `{"url": ..., "events": [...]}`
ALTER TABLE jobs ADD COLUMN webhook TEXT;

-- News on their way to a webhook; gone when they were taken or given up.
CREATE TABLE deliveries (
    id         TEXT    NOT NULL PRIMARY KEY,
    job        TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    event      TEXT    NOT NULL,
    attempt    INTEGER NOT NULL DEFAULT 0,
    due        INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_by_due ON deliveries (due);
CREATE INDEX deliveries_of_job ON deliveries (job);

-- Each event of a job is told once, a second start after a crash included; `told` remembers.
CREATE TABLE told (
    job   TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    PRIMARY KEY (job, event)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER deliveries_made AFTER UPDATE OF status ON jobs
WHEN new.webhook IS NOT NULL AND new.status <> old.status BEGIN
    INSERT INTO told (job, event)
    SELECT new.id, value FROM json_each(new.webhook, '$.events')
    WHERE value = CASE new.status WHEN 'running' THEN 'started' ELSE new.status END
    ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER deliveries_told AFTER INSERT ON told BEGIN
    INSERT INTO deliveries (id, job, event, due, created_at)
    VALUES (lower(hex(randomblob(16))), new.job, new.event,
            CAST(unixepoch('subsec') * 1000000 AS INTEGER), CAST(unixepoch('subsec') * 1000000 AS INTEGER));
END;
