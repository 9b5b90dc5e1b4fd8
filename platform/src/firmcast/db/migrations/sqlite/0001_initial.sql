-- Everything the first release keeps. Times are microseconds since 1970, UTC; truth values are 0 and 1.

-- audit ----------------------------------------------------------------------------------------------------------

CREATE TABLE audit_entry (
    entry_id   INTEGER PRIMARY KEY AUTOINCREMENT,
    made_at    INTEGER NOT NULL,
    actor_kind TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    details    TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_entry_by_subject ON audit_entry (subject, entry_id);

-- administrators -------------------------------------------------------------------------------------------------

CREATE TABLE administrator_token (
    token_id     TEXT    PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    token_hash   BLOB    NOT NULL UNIQUE,
    scopes       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT    NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

-- applications ---------------------------------------------------------------------------------------------------

CREATE TABLE application (
    application_id                TEXT    PRIMARY KEY,
    name                          TEXT    NOT NULL,
    secret_hash                   BLOB    NOT NULL,
    former_secret_hash            BLOB,
    former_secret_ends_at         INTEGER,
    signing_secret_sealed         BLOB    NOT NULL,
    former_signing_secret_sealed  BLOB,
    former_signing_secret_ends_at INTEGER,
    callback_ca                   TEXT    NOT NULL DEFAULT '',
    client_certificate            TEXT    NOT NULL DEFAULT '',
    client_key_sealed             BLOB    NOT NULL DEFAULT x'',
    verification_key              TEXT    NOT NULL DEFAULT '',
    frozen                        INTEGER NOT NULL DEFAULT 0,
    deleting                      INTEGER NOT NULL DEFAULT 0,
    created_at                    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    token_hash     BLOB    PRIMARY KEY,
    application_id TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    expires_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX token_by_application ON token (application_id, kind);

-- devices --------------------------------------------------------------------------------------------------------

CREATE TABLE device (
    device_id          TEXT    PRIMARY KEY,
    application_id     TEXT    NOT NULL,
    endpoint_name      TEXT    NOT NULL UNIQUE,
    verification_code  TEXT    NOT NULL,
    name               TEXT    NOT NULL DEFAULT '',
    manufacturer_id    TEXT    NOT NULL DEFAULT '',
    manufacturer_name  TEXT    NOT NULL DEFAULT '',
    device_type        TEXT    NOT NULL DEFAULT '',
    model              TEXT    NOT NULL DEFAULT '',
    protocol_type      TEXT    NOT NULL DEFAULT '',
    activation_seconds INTEGER NOT NULL,
    activation_ends_at INTEGER,
    firmware_version   TEXT    NOT NULL DEFAULT '',
    created_at         INTEGER NOT NULL,
    changed_at         INTEGER NOT NULL,
    activated_at       INTEGER,
    attributes         TEXT    NOT NULL DEFAULT '{}',
    pre_shared_key     BLOB    NOT NULL DEFAULT x''
) STRICT, WITHOUT ROWID;

CREATE INDEX device_by_application ON device (application_id, created_at, device_id);
CREATE INDEX device_by_type ON device (application_id, device_type, created_at, device_id);
-- Only devices whose first registration is still awaited have a place here.
CREATE INDEX device_by_activation_end ON device (activation_ends_at) WHERE activation_ends_at IS NOT NULL;

CREATE TABLE registration (
    device_id         TEXT    PRIMARY KEY,
    registration_id   TEXT    NOT NULL UNIQUE,
    endpoint_name     TEXT    NOT NULL,
    host              TEXT    NOT NULL,
    port              INTEGER NOT NULL,
    lifetime_seconds  INTEGER NOT NULL,
    binding           TEXT    NOT NULL,
    queue_mode        INTEGER NOT NULL,
    lwm2m_version     TEXT    NOT NULL,
    objects           TEXT    NOT NULL,
    registered_at     INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    application_id    TEXT    NOT NULL,
    device_created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX registration_by_expiry ON registration (expires_at);
CREATE INDEX registration_by_application ON registration (application_id, device_created_at, device_id);

-- One order at the most waits for each device upgrade: a new one takes the place of the old.
CREATE TABLE device_command (
    command_id        INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id         TEXT    NOT NULL,
    device_upgrade_id TEXT    NOT NULL UNIQUE,
    kind              TEXT    NOT NULL,
    transfer_token    TEXT    NOT NULL,
    created_at        INTEGER NOT NULL
) STRICT;

CREATE INDEX device_command_by_device ON device_command (device_id, command_id);

-- groups ---------------------------------------------------------------------------------------------------------

CREATE TABLE device_group (
    group_id       TEXT    PRIMARY KEY,
    application_id TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    description    TEXT    NOT NULL,
    max_devices    INTEGER NOT NULL,
    device_count   INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (application_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX device_group_by_application ON device_group (application_id, created_at, group_id);

CREATE TABLE device_group_member (
    group_id  TEXT NOT NULL,
    device_id TEXT NOT NULL,
    PRIMARY KEY (group_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX device_group_member_by_device ON device_group_member (device_id, group_id);

-- firmware -------------------------------------------------------------------------------------------------------

CREATE TABLE firmware_package (
    package_id        TEXT    PRIMARY KEY,
    application_id    TEXT    NOT NULL,
    name              TEXT    NOT NULL,
    version           TEXT    NOT NULL,
    device_type       TEXT    NOT NULL,
    model             TEXT    NOT NULL,
    manufacturer_name TEXT    NOT NULL,
    protocol_type     TEXT    NOT NULL,
    description       TEXT    NOT NULL,
    size              INTEGER NOT NULL,
    digest            TEXT    NOT NULL,
    uploaded_at       INTEGER NOT NULL,
    signature         TEXT    NOT NULL,
    signed_by         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX firmware_package_by_application ON firmware_package (application_id, uploaded_at, package_id);
CREATE INDEX firmware_package_by_digest ON firmware_package (digest);

-- Packages that come in pieces; a row stays for a while after it became a package, for a sender that did not hear of it.
CREATE TABLE firmware_upload (
    upload_id      TEXT    PRIMARY KEY,
    application_id TEXT    NOT NULL,
    metadata       TEXT    NOT NULL,
    size           INTEGER NOT NULL,
    digest         TEXT    NOT NULL,
    signature      TEXT    NOT NULL,
    received       INTEGER NOT NULL,
    package_id     TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    touched_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX firmware_upload_open ON firmware_upload (created_at, upload_id) WHERE package_id = '';
CREATE INDEX firmware_upload_by_application ON firmware_upload (application_id);
CREATE INDEX firmware_upload_by_touch ON firmware_upload (touched_at);

-- upgrades -------------------------------------------------------------------------------------------------------

CREATE TABLE upgrade_task (
    task_id           TEXT    PRIMARY KEY,
    application_id    TEXT    NOT NULL,
    package_id        TEXT    NOT NULL,
    target_version    TEXT    NOT NULL,
    device_type       TEXT    NOT NULL,
    model             TEXT    NOT NULL,
    manufacturer_name TEXT    NOT NULL,
    targets           TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    idempotency_key   TEXT    NOT NULL,
    request_digest    TEXT    NOT NULL,
    start_mode        TEXT    NOT NULL,
    window_start      INTEGER,
    window_end        INTEGER,
    retry_limit       INTEGER NOT NULL,
    -- Only what follows changes.
    status            TEXT    NOT NULL,
    round             INTEGER NOT NULL,
    work              TEXT,
    work_at           INTEGER,
    work_cursor       TEXT    NOT NULL,
    stop_requested_at INTEGER,
    started_at        INTEGER,
    ended_at          INTEGER,
    description       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- A task can name many devices, so its row is long: lists are filtered and counted in an index alone.
CREATE INDEX upgrade_task_by_application
    ON upgrade_task (application_id, created_at, task_id, status, device_type, model, manufacturer_name);
CREATE INDEX upgrade_task_by_creation
    ON upgrade_task (created_at, task_id, status, device_type, model, manufacturer_name);
CREATE INDEX upgrade_task_open ON upgrade_task (package_id) WHERE ended_at IS NULL;
CREATE INDEX upgrade_task_open_of_application ON upgrade_task (application_id) WHERE ended_at IS NULL;
CREATE INDEX upgrade_task_by_work ON upgrade_task (work_at) WHERE work_at IS NOT NULL;
CREATE UNIQUE INDEX upgrade_task_by_key ON upgrade_task (application_id, idempotency_key) WHERE idempotency_key <> '';

-- How many devices of a task count as what; moved in the transaction that moves the device.
CREATE TABLE upgrade_task_tally (
    task_id TEXT    NOT NULL,
    tally   TEXT    NOT NULL,
    devices INTEGER NOT NULL,
    PRIMARY KEY (task_id, tally)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_upgrade (
    device_upgrade_id TEXT    PRIMARY KEY,
    task_id           TEXT    NOT NULL,
    application_id    TEXT    NOT NULL,
    device_id         TEXT    NOT NULL,
    package_id        TEXT    NOT NULL,
    position          INTEGER NOT NULL,
    attempt           INTEGER NOT NULL,
    phase             TEXT    NOT NULL,
    tally             TEXT    NOT NULL,
    retryable         INTEGER NOT NULL,
    published_state   INTEGER NOT NULL,
    command_id        INTEGER,
    command_kind      TEXT,
    probed            INTEGER NOT NULL,
    evidence          BLOB    NOT NULL,
    transfer_token    TEXT    NOT NULL UNIQUE,
    source_version    TEXT    NOT NULL,
    target_version    TEXT    NOT NULL,
    current_version   TEXT    NOT NULL,
    bytes_total       INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    window_end        INTEGER,
    waiting_ends_at   INTEGER,
    phase_ends_at     INTEGER,
    deadline_at       INTEGER,
    ended_at          INTEGER,
    outcome           TEXT,
    description       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX device_upgrade_by_task ON device_upgrade (task_id, position);
CREATE INDEX device_upgrade_by_tally ON device_upgrade (task_id, tally, position);
-- Those that another round of their task is about.
CREATE INDEX device_upgrade_retryable ON device_upgrade (task_id, attempt, position) WHERE retryable = 1;
-- A device is in a task once.
CREATE UNIQUE INDEX device_upgrade_by_device ON device_upgrade (device_id, task_id);
CREATE INDEX device_upgrade_by_deadline ON device_upgrade (deadline_at) WHERE deadline_at IS NOT NULL;
-- A device is in one upgrade at the most that has begun and has not ended.
CREATE UNIQUE INDEX device_upgrade_begun ON device_upgrade (device_id) WHERE phase NOT IN ('scheduled', 'closed');

-- events ---------------------------------------------------------------------------------------------------------

CREATE TABLE event_stream (
    device_id     TEXT    PRIMARY KEY,
    last_sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    event_id          INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id        TEXT    NOT NULL,
    device_id         TEXT    NOT NULL,
    sequence          INTEGER NOT NULL,
    application_id    TEXT    NOT NULL,
    task_id           TEXT    NOT NULL,
    device_upgrade_id TEXT    NOT NULL,
    event_type        TEXT    NOT NULL,
    occurred_at       INTEGER NOT NULL,
    synthesised       INTEGER NOT NULL,
    fact              BLOB    NOT NULL,
    body              BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX event_by_device ON event (device_id, sequence);

-- subscriptions --------------------------------------------------------------------------------------------------

CREATE TABLE subscription (
    subscription_id TEXT    PRIMARY KEY,
    application_id  TEXT    NOT NULL,
    event_type      TEXT    NOT NULL,
    callback_url    TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    UNIQUE (application_id, event_type)
) STRICT, WITHOUT ROWID;

-- push -----------------------------------------------------------------------------------------------------------

-- Only what is still to be delivered has a row here.
CREATE TABLE delivery (
    event_id        INTEGER NOT NULL,
    subscription_id TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    sequence        INTEGER NOT NULL,
    PRIMARY KEY (event_id, subscription_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_by_subscription ON delivery (subscription_id, event_id);

-- Only lanes in trouble have a row here, about the event at their head; a healthy lane costs nothing.
CREATE TABLE lane (
    subscription_id    TEXT    NOT NULL,
    device_id          TEXT    NOT NULL,
    event_id           INTEGER NOT NULL,
    attempts           INTEGER NOT NULL,
    first_attempted_at INTEGER NOT NULL,
    next_attempt_at    INTEGER NOT NULL,
    reason             TEXT    NOT NULL,
    PRIMARY KEY (subscription_id, device_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (
    attempt_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id        INTEGER NOT NULL,
    subscription_id TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    number          INTEGER NOT NULL,
    attempted_at    INTEGER NOT NULL,
    duration        INTEGER NOT NULL,
    status          INTEGER,
    failure         TEXT    NOT NULL,
    detail          TEXT    NOT NULL,
    address         TEXT    NOT NULL,
    answer          BLOB    NOT NULL
) STRICT;

CREATE INDEX attempt_by_event ON attempt (event_id, subscription_id);

CREATE TABLE dead_letter (
    event_id        INTEGER NOT NULL,
    subscription_id TEXT    NOT NULL,
    device_id       TEXT    NOT NULL,
    sequence        INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    reason          TEXT    NOT NULL,
    failure         TEXT    NOT NULL,
    died_at         INTEGER NOT NULL,
    PRIMARY KEY (event_id, subscription_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX dead_letter_by_subscription ON dead_letter (subscription_id, event_id);
