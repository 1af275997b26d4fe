-- The chain of the activity history: see src/store/activity/chain.rs.

-- SHA-256 of the entry of the Record that the row was made of; and of this row, that entry and the row before. Null for
-- rows from before the chain.
ALTER TABLE activity ADD COLUMN record_digest BYTEA;
ALTER TABLE activity ADD COLUMN hash BYTEA;

-- One row: where the chain begins and ends, signed with a key that is not in the database.
CREATE TABLE chain (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    -- Rows up to here are not of the chain.
    begun_after BIGINT NOT NULL,
    -- The row before the first that is kept.
    anchor_seq BIGINT NOT NULL,
    anchor_hash BYTEA NOT NULL,
    last_seq BIGINT NOT NULL,
    last_hash BYTEA NOT NULL,
    -- The row at whose writing the signature was not good.
    doubt BIGINT,
    signed_by TEXT,
    signature BYTEA
);
INSERT INTO chain (one, begun_after, anchor_seq, anchor_hash, last_seq, last_hash)
SELECT 1, seq, seq, decode(repeat('00', 32), 'hex'), seq, decode(repeat('00', 32), 'hex') FROM cursors WHERE consumer = 'activity';
