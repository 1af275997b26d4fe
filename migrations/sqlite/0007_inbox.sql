-- The unread ones of a user are counted from an index alone.
DROP INDEX notifications_unread;
CREATE INDEX notifications_unread ON notifications (user_id, expires_at, read_at) WHERE read_at IS NULL;
-- What grows old is found without a look at the rest.
CREATE INDEX notifications_oldest ON notifications (created_at);
CREATE INDEX notifications_expiring ON notifications (expires_at) WHERE expires_at IS NOT NULL;
