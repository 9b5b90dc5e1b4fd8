-- History is told again, at a rate: an order of somebody, and how far it has come.

-- push -----------------------------------------------------------------------------------------------------------

CREATE TABLE replay (
    replay_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    application_id   TEXT    NOT NULL,
    subscription_ids TEXT    NOT NULL,
    device_id        TEXT    NOT NULL,
    since            INTEGER,
    until            INTEGER,
    rate             INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    created_by       TEXT    NOT NULL,
    last             INTEGER NOT NULL,
    -- Only what follows changes.
    state            TEXT    NOT NULL,
    cursor           INTEGER NOT NULL,
    queued           INTEGER NOT NULL,
    passed_over      INTEGER NOT NULL,
    incomplete       INTEGER NOT NULL,
    paid_until       INTEGER NOT NULL,
    ended_at         INTEGER
) STRICT;

-- Those that are not over: of each application one runs at a time.
CREATE INDEX replay_open ON replay (application_id, replay_id) WHERE state = 'open';

-- 0 for what was not delivered yet, -1 for what a person sent again, else the number of the replay.
ALTER TABLE delivery ADD COLUMN replay INTEGER NOT NULL DEFAULT 0;

CREATE INDEX delivery_by_replay ON delivery (replay, event_id) WHERE replay > 0;

-- Dead letters are sent again lane by lane, too.
CREATE INDEX dead_letter_by_lane ON dead_letter (subscription_id, device_id, event_id);
