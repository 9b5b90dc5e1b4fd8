-- How much each subscription has still to be told, so that nobody has to count deliveries to know it.

-- push -----------------------------------------------------------------------------------------------------------

-- One row for each subscription that ever had any; other stores add up several.
CREATE TABLE undelivered (
    subscription_id TEXT    NOT NULL,
    part            INTEGER NOT NULL,
    deliveries      INTEGER NOT NULL,
    PRIMARY KEY (subscription_id, part)
) STRICT, WITHOUT ROWID;

INSERT INTO undelivered SELECT subscription_id, 0, COUNT(*) FROM delivery GROUP BY subscription_id;
