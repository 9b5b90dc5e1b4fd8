-- devices --------------------------------------------------------------------------------------------------------

-- 1 when the device registered through a secure session: it is reached through one only.
ALTER TABLE registration ADD COLUMN is_secure BIGINT NOT NULL DEFAULT 0;
