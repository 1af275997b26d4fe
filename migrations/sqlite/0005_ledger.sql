-- The chain of the activity history: see src/store/activity/chain.rs.

-- SHA-256 of the entry of the Record that the row was made of; and of this row, that entry and the row before. Null for
-- rows from before the chain.
ALTER TABLE activity ADD COLUMN record_digest BLOB;
ALTER TABLE activity ADD COLUMN hash BLOB;

-- One row: where the chain begins and ends, signed with a key that is not in the database.
CREATE TABLE chain (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Rows up to here are not of the chain.
    begun_after INTEGER NOT NULL,
    -- The row before the first that is kept.
    anchor_seq INTEGER NOT NULL,
    anchor_hash BLOB NOT NULL,
    last_seq INTEGER NOT NULL,
    last_hash BLOB NOT NULL,
    -- The row at whose writing the signature was not good.
    doubt INTEGER,
    signed_by TEXT,
    signature BLOB
) STRICT;
INSERT INTO chain (one, begun_after, anchor_seq, anchor_hash, last_seq, last_hash)
SELECT 1, seq, seq, zeroblob(32), seq, zeroblob(32) FROM cursors WHERE consumer = 'activity';
