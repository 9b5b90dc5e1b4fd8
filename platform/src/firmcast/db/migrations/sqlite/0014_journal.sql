-- What passed between us and each device, and what was decided about it, is noted for a time.

-- journal --------------------------------------------------------------------------------------------------------

-- What one transaction noted of one device.
CREATE TABLE journal_page (
    page_id           INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id         TEXT    NOT NULL,
    device_upgrade_id TEXT    NOT NULL,
    began_at          INTEGER NOT NULL,
    notes             TEXT    NOT NULL
) STRICT;

CREATE INDEX journal_page_by_device ON journal_page (device_id, began_at);
