-- How long a device in queue mode listens, as an operator says of one device or of all of a model.

-- profiles -------------------------------------------------------------------------------------------------------

-- about is 'device' or 'model'; name is the device's id, or manufacturer and model with | between them.
CREATE TABLE awake_window (
    about   TEXT NOT NULL,
    name    TEXT NOT NULL,
    seconds INTEGER NOT NULL,
    PRIMARY KEY (about, name)
) STRICT, WITHOUT ROWID;
