-- What the client in a device is and how it was seen to behave, of each device and of each model.

-- profiles -------------------------------------------------------------------------------------------------------

CREATE TABLE device_client (
    device_id  TEXT    PRIMARY KEY,
    model_key  TEXT    NOT NULL,
    profile    TEXT    NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE client_model (
    model_key  TEXT    PRIMARY KEY,
    traits     TEXT    NOT NULL,
    changed_at BIGINT NOT NULL
);

-- The latest check of a device; it waits while it has no end.
CREATE TABLE device_check (
    device_id    TEXT    PRIMARY KEY,
    requested_at BIGINT NOT NULL,
    ended_at     BIGINT,
    findings     TEXT    NOT NULL
);
