-- subscriptions --------------------------------------------------------------------------------------------------

-- Grows with each word of the application that it is to be called there.
ALTER TABLE subscription ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;

-- push -----------------------------------------------------------------------------------------------------------

-- Only subscriptions that are not served in the usual way have a row here; null is what the settings say.
CREATE TABLE standing (
    subscription_id     TEXT    PRIMARY KEY,
    retry_delays        TEXT,
    age_limit           BIGINT,
    when_given_up       TEXT,
    paused_at           BIGINT,
    disabled_at         BIGINT,
    disabled_generation BIGINT
);

-- 1 when the delivery at the lane's head was given up, and the lane stands until somebody decides about it.
ALTER TABLE lane ADD COLUMN blocked BIGINT NOT NULL DEFAULT 0;
