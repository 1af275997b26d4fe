-- What is known of a claim while its answer is not: by which life of the server it was made (null: it came to nothing),
-- for which request, and where the Record ended. So it can be told whether the change of a request that was cut off is
-- there. And who had the answer, so that it is not repeated to the same user in a lower role.
ALTER TABLE idempotency ADD COLUMN boot BLOB;
ALTER TABLE idempotency ADD COLUMN request_id TEXT;
ALTER TABLE idempotency ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE idempotency ADD COLUMN role TEXT NOT NULL DEFAULT 'viewer';
-- Nobody runs during a migration, and of these nothing can be told.
DELETE FROM idempotency WHERE status IS NULL;
