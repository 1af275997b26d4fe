-- Keys that all nodes share and that outlive a restart: what seals the recovery ids of sockets.

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
