-- What an installation knows of itself, whichever of its nodes asks.

-- db -------------------------------------------------------------------------------------------------------------

CREATE TABLE installation (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);
