-- How far packages are on their way to devices is told on every node, not only on the one that sends them.

-- upgrades -------------------------------------------------------------------------------------------------------

-- As it was noted last, some seconds ago at the most while it moves.
CREATE TABLE transfer_progress (
    device_upgrade_id TEXT   PRIMARY KEY,
    bytes_done        BIGINT NOT NULL,
    bytes_per_second  BIGINT NOT NULL,
    noted_at          BIGINT NOT NULL
);
