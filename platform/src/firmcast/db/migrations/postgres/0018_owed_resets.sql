-- A device that is to be brought back to Idle after its upgrade, and did not answer, is tried again when it shows itself.

-- devices --------------------------------------------------------------------------------------------------------

-- How often the order was carried out without an answer; only orders that are owed to the device are kept then.
ALTER TABLE device_command ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
