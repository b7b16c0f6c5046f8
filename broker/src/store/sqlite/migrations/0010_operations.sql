-- Operations of administrators at a disk, as each stands now.
CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    place INTEGER NOT NULL UNIQUE,
    disk TEXT NOT NULL,
    seller TEXT NOT NULL,
    state TEXT NOT NULL,
    what TEXT NOT NULL,
    bulk TEXT NOT NULL,
    at INTEGER NOT NULL,
    live INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX operations_live ON operations (place) WHERE live = 1;
CREATE INDEX operations_of_disk ON operations (disk, place);
CREATE INDEX operations_of_bulk ON operations (bulk, place) WHERE bulk <> '';
