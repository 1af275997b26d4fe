-- How far retention has removed the Record: what is missing beyond that was taken by somebody else. (Not in
-- record_head, which every commit takes.)
CREATE TABLE record_tail (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    removed_upto INTEGER NOT NULL
) STRICT;
INSERT INTO record_tail (one, removed_upto)
SELECT 1, COALESCE((SELECT MIN(seq) - 1 FROM record), last) FROM record_head;
