-- Nodes share the deliveries by partitions of their devices, and tell each other of what has changed.

-- push -----------------------------------------------------------------------------------------------------------

ALTER TABLE delivery ADD COLUMN partition BIGINT NOT NULL DEFAULT 0;
UPDATE delivery SET partition = get_byte(sha256(convert_to(device_id, 'UTF8')), 0) % 64;

-- nodes ----------------------------------------------------------------------------------------------------------

-- One life of one process; times are microseconds of the database's clock, the only one that all nodes share.
CREATE TABLE node (
    node_id    TEXT   PRIMARY KEY,
    name       TEXT   NOT NULL,
    roles      TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- Who has a share of the work; whoever writes for it proves the epoch, which grows with each change of hands.
CREATE TABLE lease (
    share   TEXT   PRIMARY KEY,
    node_id TEXT   NOT NULL,
    epoch   BIGINT NOT NULL
);

-- What commits announced, for the other nodes. A node commits one transaction after another, so its numbers, which have
-- no gaps, are in the order of its commits; a row is of use for as long as it takes the others to read it.
CREATE TABLE announcement (
    node_id TEXT   NOT NULL,
    number  BIGINT NOT NULL,
    made_at BIGINT NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    channel TEXT   NOT NULL,
    items   TEXT   NOT NULL,
    PRIMARY KEY (node_id, number)
);
