-- The bytes of packages go along with their rows, so that every node serves every package; see ADR 24.

-- firmware -------------------------------------------------------------------------------------------------------

-- The bytes of one package, whose digest is named then, or of what may become one: an upload, under its id, or a body
-- that is still arriving. Who adds to it proves the writer; what nobody has touched for long is an orphan.
CREATE TABLE firmware_content (
    content_id TEXT   PRIMARY KEY,
    digest     TEXT   UNIQUE,
    writer     TEXT   NOT NULL,
    touched_at BIGINT NOT NULL
);

CREATE INDEX firmware_content_unnamed ON firmware_content (touched_at) WHERE digest IS NULL;

-- All are of 256 KiB but the last.
CREATE TABLE firmware_chunk (
    content_id TEXT   NOT NULL,
    number     BIGINT NOT NULL,
    bytes      BYTEA  NOT NULL,
    PRIMARY KEY (content_id, number)
);

-- Images seldom shrink, and a cut must not read them through.
ALTER TABLE firmware_chunk ALTER COLUMN bytes SET STORAGE EXTERNAL;
