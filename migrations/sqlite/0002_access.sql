-- Whose a job is, as `key:{id}` or `jwt:{sub}`; null where keys are off.
ALTER TABLE jobs ADD COLUMN owner TEXT;
CREATE INDEX jobs_by_owner ON jobs (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX jobs_queued_by_owner ON jobs (owner, due, id) WHERE status = 'queued';
-- Evaluations times rows, in units of the model's native size.
ALTER TABLE jobs ADD COLUMN work INTEGER NOT NULL DEFAULT 1;

-- What was erased stays a secret to others.
ALTER TABLE erased ADD COLUMN owner TEXT;

-- API keys. Names are unique among those that are not revoked.
CREATE TABLE keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    quota      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX keys_by_name ON keys (name) WHERE revoked_at IS NULL;

-- A key has one secret, or several while it is rotated; only their hashes are kept.
CREATE TABLE secrets (
    id         TEXT    NOT NULL PRIMARY KEY,
    key        TEXT    NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    sha256     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX secrets_of_key ON secrets (key);

-- What the service draws once and keeps, such as the secret that signs addresses of pictures.
CREATE TABLE kept (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Row evaluations of the native size that an owner asked for, by day (days since 1970, UTC).
CREATE TABLE spent (
    owner TEXT    NOT NULL,
    day   INTEGER NOT NULL,
    work  INTEGER NOT NULL,
    PRIMARY KEY (owner, day)
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;
