-- Reading the history: who may see a row, the indexes that pages are read by, and the words to search it by.

-- The nil id: everybody. The highest id: the admins alone. Else a user's: that user, and the admins. NULL: a row from
-- before this column; the program fills it in when it next starts.
ALTER TABLE activity ADD COLUMN seen_by BLOB;

-- Each page is a range of one of these, read from its end; `seen_by` is there so that what a reader may not see is
-- passed over without looking at the row.
CREATE INDEX activity_seen ON activity (seen_by, seq);
DROP INDEX activity_user;
CREATE INDEX activity_user ON activity (user_id, seq, seen_by);
CREATE INDEX activity_action ON activity (action, seq, seen_by);
CREATE INDEX activity_type ON activity (resource_type, seq, seen_by);
CREATE INDEX activity_time ON activity (created_at, seq);

-- The program makes the words; the index takes them as they are, between blanks.
CREATE VIRTUAL TABLE activity_search USING fts5 (words, content = '', contentless_delete = 1, tokenize = 'ascii');

-- How many rows there are of each kind on each day (of UTC, counted from the epoch). No type: '', no user: the nil id.
CREATE TABLE activity_counts (
    day INTEGER NOT NULL,
    seen_by BLOB NOT NULL,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    user_id BLOB NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (day, seen_by, action, resource_type, user_id)
) STRICT, WITHOUT ROWID;

-- Whoever removes a row need not know what was derived from it.
CREATE TRIGGER activity_removed AFTER DELETE ON activity WHEN OLD.seen_by IS NOT NULL BEGIN
    DELETE FROM activity_search WHERE rowid = OLD.seq;
    UPDATE activity_counts SET count = count - 1
    WHERE day = OLD.created_at / 86400000000 AND seen_by = OLD.seen_by AND action = OLD.action
      AND resource_type = COALESCE(OLD.resource_type, '') AND user_id = COALESCE(OLD.user_id, zeroblob(16));
    DELETE FROM activity_counts
    WHERE day = OLD.created_at / 86400000000 AND seen_by = OLD.seen_by AND action = OLD.action
      AND resource_type = COALESCE(OLD.resource_type, '') AND user_id = COALESCE(OLD.user_id, zeroblob(16))
      AND count <= 0;
END;
