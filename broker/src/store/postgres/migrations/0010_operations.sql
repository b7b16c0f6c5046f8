-- Operations of administrators at a disk, as each stands now.
CREATE TABLE operations (
    id text COLLATE "C" PRIMARY KEY,
    place bigint NOT NULL UNIQUE,
    disk text COLLATE "C" NOT NULL,
    seller text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    what text COLLATE "C" NOT NULL,
    bulk text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    live boolean NOT NULL,
    revision bigint NOT NULL,
    body text NOT NULL
);
CREATE INDEX operations_live ON operations (place) WHERE live;
CREATE INDEX operations_of_disk ON operations (disk, place);
CREATE INDEX operations_of_bulk ON operations (bulk, place) WHERE bulk <> '';
