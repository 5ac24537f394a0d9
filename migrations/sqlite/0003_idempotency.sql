-- The job that the first request with an Idempotency-Key made, and what it asked for. `owner` is empty where keys are off.
CREATE TABLE repeated (
    owner       TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    job         TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX repeated_by_time ON repeated (created_at);
