-- The spine: users and their tokens, episodes, the Record and what is derived from it.
-- Times are microseconds since the epoch, JSON is text: see src/store/mod.rs.

CREATE TABLE users (
    id BLOB PRIMARY KEY,
    email TEXT NOT NULL,
    -- The address folded to lower case, by the program: SQLite folds ASCII only.
    email_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'editor', 'admin')),
    team TEXT,
    disabled INTEGER NOT NULL DEFAULT FALSE,
    password_hash TEXT,
    -- Who an outside issuer says it is.
    subject TEXT UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX users_newest ON users (created_at, id);
CREATE INDEX users_team ON users (team);

CREATE TABLE refresh_tokens (
    -- SHA-256 of the token; the token itself is nowhere.
    hash BLOB PRIMARY KEY,
    family BLOB NOT NULL,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE login_failures (
    id BLOB PRIMARY KEY,
    -- SHA-256 of the account or of the address: of bounded size, whatever was typed.
    subject BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX login_failures_subject ON login_failures (subject, at);
CREATE INDEX login_failures_at ON login_failures (at);

CREATE TABLE episodes (
    id BLOB PRIMARY KEY,
    title TEXT NOT NULL,
    episode_number INTEGER NOT NULL,
    season INTEGER,
    description TEXT,
    air_date TEXT,
    team TEXT,
    status TEXT NOT NULL CHECK (status IN ('draft', 'in_production', 'published', 'archived')),
    metadata TEXT,
    published_at INTEGER,
    created_by BLOB NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    -- Title and description folded to lower case, by the program: what `q` looks into.
    folded TEXT NOT NULL
) STRICT;
-- Null counts as a value.
CREATE UNIQUE INDEX episodes_number ON episodes (
    (team IS NULL), (COALESCE(team, '')), (season IS NULL), (COALESCE(season, 0)), episode_number
);
CREATE INDEX episodes_newest ON episodes (created_at, id);

CREATE TABLE record (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    actor_id BLOB,
    actor_name TEXT,
    resource_type TEXT,
    resource_id TEXT,
    -- A JSON list of channels.
    audience TEXT NOT NULL,
    data TEXT NOT NULL,
    request_id TEXT,
    ip TEXT,
    user_agent TEXT
) STRICT;

-- One row: the last seq given. Taking it is the lock that puts commits in order.
CREATE TABLE record_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO record_head (one, last) VALUES (1, 0);

-- How far each consumer of the Record has come.
CREATE TABLE cursors (
    consumer TEXT PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO cursors (consumer, seq) VALUES ('activity', 0), ('notifications', 0);

CREATE TABLE activity (
    id BLOB PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    action TEXT NOT NULL,
    user_id BLOB,
    user_name TEXT,
    resource_type TEXT,
    resource_id TEXT,
    resource_name TEXT,
    changes TEXT,
    metadata TEXT,
    ip TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX activity_resource ON activity (resource_type, resource_id, seq);
CREATE INDEX activity_user ON activity (user_id, seq);

CREATE TABLE notifications (
    id BLOB PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    type TEXT NOT NULL,
    title TEXT,
    message TEXT NOT NULL,
    data TEXT NOT NULL,
    priority TEXT NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    event_seq INTEGER,
    created_at INTEGER NOT NULL,
    delivered_at INTEGER,
    read_at INTEGER,
    expires_at INTEGER
) STRICT;
CREATE UNIQUE INDEX notifications_once ON notifications (event_seq, user_id);
CREATE INDEX notifications_newest ON notifications (user_id, created_at, id);
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL;

CREATE TABLE resumes (
    sid TEXT PRIMARY KEY,
    user_id BLOB NOT NULL,
    -- A JSON list of channels.
    rooms TEXT NOT NULL,
    ended INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;
CREATE INDEX resumes_seen ON resumes (seen_at);

CREATE TABLE idempotency (
    user_id BLOB NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    key TEXT NOT NULL,
    -- SHA-256 of the request's body.
    body_hash BLOB NOT NULL,
    -- Names the claim, so that only whoever made it can complete or release it.
    claim BLOB NOT NULL,
    claimed_at INTEGER NOT NULL,
    -- The answer; null while the first request runs.
    status INTEGER,
    headers TEXT,
    body BLOB,
    PRIMARY KEY (user_id, method, path, key)
) STRICT;
CREATE INDEX idempotency_age ON idempotency (claimed_at);
