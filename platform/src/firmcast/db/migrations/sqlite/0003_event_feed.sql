-- An application reads the log itself: its own events, from a position on; and is told where the log begins.

-- events ---------------------------------------------------------------------------------------------------------

CREATE INDEX event_by_application ON event (application_id, event_id);

-- Up to which position events have been removed for their age; one row, none before the first.
CREATE TABLE event_forgotten (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    through  INTEGER NOT NULL
) STRICT;
