-- Reading the history: who may see a row, the indexes that pages are read by, and the words to search it by.

-- The nil id: everybody. The highest id: the admins alone. Else a user's: that user, and the admins. NULL: a row from
-- before this column; the program fills it in when it next starts.
ALTER TABLE activity ADD COLUMN seen_by UUID;

-- Each page is a range of one of these, read from its end; `seen_by` is there so that what a reader may not see is
-- passed over without looking at the row.
CREATE INDEX activity_seen ON activity (seen_by, seq);
DROP INDEX activity_user;
CREATE INDEX activity_user ON activity (user_id, seq, seen_by);
CREATE INDEX activity_action ON activity (action, seq, seen_by);
CREATE INDEX activity_type ON activity (resource_type, seq, seen_by);
CREATE INDEX activity_time ON activity (created_at, seq);

-- The program makes the words.
CREATE TABLE activity_search (
    seq BIGINT PRIMARY KEY,
    -- Everybody may see it.
    public BOOLEAN NOT NULL,
    words TSVECTOR NOT NULL
);
-- What is new waits in a list that each search reads to its end: a short one.
CREATE INDEX activity_search_words ON activity_search USING gin (words) WITH (gin_pending_list_limit = 512);
CREATE INDEX activity_search_public ON activity_search USING gin (words) WITH (gin_pending_list_limit = 512)
    WHERE public;

-- How many rows there are of each kind on each day (of UTC, counted from the epoch). No type: '', no user: the nil id.
CREATE TABLE activity_counts (
    day BIGINT NOT NULL,
    seen_by UUID NOT NULL,
    action TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    user_id UUID NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (day, seen_by, action, resource_type, user_id)
) WITH (fillfactor = 50);

-- Whoever removes a row need not know what was derived from it.
CREATE FUNCTION activity_removed() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM activity_search WHERE seq IN (SELECT seq FROM gone);
    UPDATE activity_counts SET count = activity_counts.count - fewer.count
    FROM (SELECT created_at / 86400000000 AS day, seen_by, action, COALESCE(resource_type, '') AS resource_type,
                 COALESCE(user_id, '00000000-0000-0000-0000-000000000000') AS user_id, COUNT(*) AS count
          FROM gone GROUP BY 1, 2, 3, 4, 5) AS fewer
    WHERE activity_counts.day = fewer.day AND activity_counts.seen_by = fewer.seen_by
      AND activity_counts.action = fewer.action AND activity_counts.resource_type = fewer.resource_type
      AND activity_counts.user_id = fewer.user_id;
    DELETE FROM activity_counts
    WHERE count <= 0 AND day IN (SELECT DISTINCT created_at / 86400000000 FROM gone);
    RETURN NULL;
END
$$;
CREATE TRIGGER activity_removed AFTER DELETE ON activity
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION activity_removed();
