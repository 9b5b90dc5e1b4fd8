-- subscriptions --------------------------------------------------------------------------------------------------

-- Grows with each word of the application that it is to be called there.
ALTER TABLE subscription ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;

-- push -----------------------------------------------------------------------------------------------------------

-- Only subscriptions that are not served in the usual way have a row here; null is what the settings say.
CREATE TABLE standing (
    subscription_id     TEXT    PRIMARY KEY,
    retry_delays        TEXT,
    age_limit           INTEGER,
    when_given_up       TEXT,
    paused_at           INTEGER,
    disabled_at         INTEGER,
    disabled_generation INTEGER
) STRICT, WITHOUT ROWID;

-- 1 when the delivery at the lane's head was given up, and the lane stands until somebody decides about it.
ALTER TABLE lane ADD COLUMN blocked INTEGER NOT NULL DEFAULT 0;
