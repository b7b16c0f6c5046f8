-- What outsiders are told, in one stream, each row in the commit of the change that it tells of. AUTOINCREMENT: a position is
-- never given twice, also after old rows are gone.
CREATE TABLE announcements (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    tag      TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    seller   TEXT    NOT NULL,
    serial   TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    body     TEXT    NOT NULL
);

CREATE TABLE webhooks (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;

-- An event on its way to an endpoint, with its attempts.
CREATE TABLE deliveries (
    webhook  TEXT    NOT NULL,
    position INTEGER NOT NULL,
    state    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    PRIMARY KEY (webhook, position)
) WITHOUT ROWID;
CREATE INDEX deliveries_waiting ON deliveries (webhook, position) WHERE state = 'waiting';
CREATE INDEX deliveries_ended ON deliveries (at) WHERE state <> 'waiting';
