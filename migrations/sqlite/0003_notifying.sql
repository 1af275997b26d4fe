-- Who wants which notifications and when; what was decided about each recipient of each event; and what is pushed later.

CREATE TABLE notification_preferences (
    user_id BLOB PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- JSON, as the API shows it.
    preferences TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each recipient of each event, written with the notification: why it got it, or did not.
CREATE TABLE notification_decisions (
    event_seq INTEGER NOT NULL,
    user_id BLOB NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('sent', 'seen', 'muted', 'expired', 'deferred', 'folded')),
    -- The rule that decided.
    rule TEXT NOT NULL,
    -- Whether it counts against the limit of its hour.
    counted INTEGER NOT NULL,
    -- When a deferred one is pushed.
    until INTEGER,
    -- What was stored, or what it was folded into.
    notification_id BLOB,
    -- When the event happened: to that hour it belongs.
    at INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (event_seq, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX notification_decisions_counted ON notification_decisions (user_id, at) WHERE counted = TRUE;
-- Those that quiet hours held up: they move when their user changes the hours.
CREATE INDEX notification_decisions_held ON notification_decisions (user_id) WHERE until IS NOT NULL;

-- When it is pushed. Null: it was, or never is.
ALTER TABLE notifications ADD COLUMN push_at INTEGER;
-- Of one that stands for those above the limit: the beginning of their hour.
ALTER TABLE notifications ADD COLUMN fold_hour INTEGER;
CREATE INDEX notifications_waiting ON notifications (push_at) WHERE push_at IS NOT NULL;
CREATE UNIQUE INDEX notifications_fold ON notifications (user_id, fold_hour)
    WHERE fold_hour IS NOT NULL AND read_at IS NULL;

-- Of the event after `seq`: the last recipient, by id, who was dealt with. Null: none yet.
ALTER TABLE cursors ADD COLUMN part BLOB;

CREATE INDEX users_role ON users (role);
