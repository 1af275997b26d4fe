-- The spine: users and their tokens, episodes, the Record and what is derived from it.
-- Times are microseconds since the epoch, JSON is text: see src/store/mod.rs.

CREATE TABLE users (
    id UUID PRIMARY KEY,
    email TEXT NOT NULL,
    -- The address folded to lower case, by the program: databases differ in how they fold.
    email_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'editor', 'admin')),
    team TEXT,
    disabled BOOLEAN NOT NULL DEFAULT FALSE,
    password_hash TEXT,
    -- Who an outside issuer says it is.
    subject TEXT UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX users_newest ON users (created_at, id);
CREATE INDEX users_team ON users (team);

CREATE TABLE refresh_tokens (
    -- SHA-256 of the token; the token itself is nowhere.
    hash BYTEA PRIMARY KEY,
    family UUID NOT NULL,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family);
CREATE INDEX refresh_tokens_user ON refresh_tokens (user_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE login_failures (
    id UUID PRIMARY KEY,
    -- SHA-256 of the account or of the address: of bounded size, whatever was typed.
    subject BYTEA NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX login_failures_subject ON login_failures (subject, at);
CREATE INDEX login_failures_at ON login_failures (at);

CREATE TABLE episodes (
    id UUID PRIMARY KEY,
    title TEXT NOT NULL,
    episode_number BIGINT NOT NULL,
    season BIGINT,
    description TEXT,
    air_date TEXT,
    team TEXT,
    status TEXT NOT NULL CHECK (status IN ('draft', 'in_production', 'published', 'archived')),
    metadata TEXT,
    published_at BIGINT,
    created_by UUID NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    -- Title and description folded to lower case, by the program: what `q` looks into.
    folded TEXT NOT NULL
);
-- Null counts as a value.
CREATE UNIQUE INDEX episodes_number ON episodes (
    (team IS NULL), (COALESCE(team, '')), (season IS NULL), (COALESCE(season, 0)), episode_number
);
CREATE INDEX episodes_newest ON episodes (created_at, id);

CREATE TABLE record (
    seq BIGINT PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    actor_id UUID,
    actor_name TEXT,
    resource_type TEXT,
    resource_id TEXT,
    -- A JSON list of channels.
    audience TEXT NOT NULL,
    data TEXT NOT NULL,
    request_id TEXT,
    ip TEXT,
    user_agent TEXT
);

-- One row: the last seq given. Taking it is the lock that puts commits in order.
CREATE TABLE record_head (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    last BIGINT NOT NULL
) WITH (fillfactor = 10);
INSERT INTO record_head (one, last) VALUES (1, 0);

-- How far each consumer of the Record has come.
CREATE TABLE cursors (
    consumer TEXT PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO cursors (consumer, seq) VALUES ('activity', 0), ('notifications', 0);

CREATE TABLE activity (
    id UUID PRIMARY KEY,
    seq BIGINT NOT NULL UNIQUE,
    action TEXT NOT NULL,
    user_id UUID,
    user_name TEXT,
    resource_type TEXT,
    resource_id TEXT,
    resource_name TEXT,
    changes TEXT,
    metadata TEXT,
    ip TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX activity_resource ON activity (resource_type, resource_id, seq);
CREATE INDEX activity_user ON activity (user_id, seq);

CREATE TABLE notifications (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    type TEXT NOT NULL,
    title TEXT,
    message TEXT NOT NULL,
    data TEXT NOT NULL,
    priority TEXT NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    event_seq BIGINT,
    created_at BIGINT NOT NULL,
    delivered_at BIGINT,
    read_at BIGINT,
    expires_at BIGINT
);
CREATE UNIQUE INDEX notifications_once ON notifications (event_seq, user_id);
CREATE INDEX notifications_newest ON notifications (user_id, created_at, id);
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL;

CREATE TABLE resumes (
    sid TEXT PRIMARY KEY,
    user_id UUID NOT NULL,
    -- A JSON list of channels.
    rooms TEXT NOT NULL,
    ended BOOLEAN NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE INDEX resumes_seen ON resumes (seen_at);

CREATE TABLE idempotency (
    user_id UUID NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    key TEXT NOT NULL,
    -- SHA-256 of the request's body.
    body_hash BYTEA NOT NULL,
    -- Names the claim, so that only whoever made it can complete or release it.
    claim UUID NOT NULL,
    claimed_at BIGINT NOT NULL,
    -- The answer; null while the first request runs.
    status BIGINT,
    headers TEXT,
    body BYTEA,
    PRIMARY KEY (user_id, method, path, key)
);
CREATE INDEX idempotency_age ON idempotency (claimed_at);
