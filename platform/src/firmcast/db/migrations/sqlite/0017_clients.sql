-- What the client in a device is and how it was seen to behave, of each device and of each model.

-- profiles -------------------------------------------------------------------------------------------------------

CREATE TABLE device_client (
    device_id  TEXT    PRIMARY KEY,
    model_key  TEXT    NOT NULL,
    profile    TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE client_model (
    model_key  TEXT    PRIMARY KEY,
    traits     TEXT    NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The latest check of a device; it waits while it has no end.
CREATE TABLE device_check (
    device_id    TEXT    PRIMARY KEY,
    requested_at INTEGER NOT NULL,
    ended_at     INTEGER,
    findings     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
