-- What outlives the process of presence: when a user was last seen, and how it wants to be seen.

CREATE TABLE user_presence (
    user_id UUID PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    last_seen BIGINT NOT NULL,
    status TEXT NOT NULL DEFAULT 'online' CHECK (status IN ('online', 'away', 'busy', 'dnd', 'offline')),
    status_message TEXT
);
