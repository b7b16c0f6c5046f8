-- What the ledger is called; one row each.
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Append-only, chained by hash per seller ('' is the broker's own chain). The ledger itself; all below can be rebuilt from it.
CREATE TABLE events (
    seller   TEXT    NOT NULL,
    sequence INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    serial   TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    what     TEXT    NOT NULL,
    body     TEXT    NOT NULL,
    hash     TEXT    NOT NULL,
    PRIMARY KEY (seller, sequence)
) WITHOUT ROWID;
CREATE INDEX events_of_job ON events (seller, serial, sequence) WHERE serial <> '';

-- One row for each serial number, for ever. The place in the queue orders them by acceptance.
CREATE TABLE jobs (
    place    INTEGER PRIMARY KEY,
    seller   TEXT    NOT NULL,
    serial   TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    live     INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    UNIQUE (seller, serial)
);
CREATE INDEX jobs_of_seller ON jobs (seller, place);
CREATE INDEX jobs_live ON jobs (place) WHERE live = 1;

-- A number has one owner.
CREATE TABLE numbers (
    disk   TEXT NOT NULL,
    kind   TEXT NOT NULL,
    code   TEXT NOT NULL,
    number TEXT NOT NULL,
    owner  TEXT NOT NULL,
    status TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (disk, kind, code, number)
) WITHOUT ROWID;

CREATE TABLE accounted (
    disk TEXT NOT NULL,
    kind TEXT NOT NULL,
    pair TEXT NOT NULL,
    PRIMARY KEY (disk, kind)
) WITHOUT ROWID;

CREATE TABLE disk_fences (
    disk     TEXT PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    owner    TEXT
) WITHOUT ROWID;

CREATE TABLE disk_reports (disk TEXT PRIMARY KEY, seen_at INTEGER NOT NULL, report TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE disk_assignments (disk TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sellers (seller TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE issue_points (
    seller TEXT NOT NULL,
    point  TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (seller, point)
) WITHOUT ROWID;

CREATE TABLE agents (agent TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE enrollments (
    hash       TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    used_by    TEXT
) WITHOUT ROWID;

CREATE TABLE api_keys (
    id         TEXT PRIMARY KEY,
    hash       TEXT NOT NULL,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    sellers    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) WITHOUT ROWID;
