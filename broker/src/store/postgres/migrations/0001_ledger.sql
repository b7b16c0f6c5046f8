-- Text is compared by its bytes everywhere: quicker, and the same on every machine. What people or devices write freely stands
-- in JSON, where U+0000 is escaped; PostgreSQL's text cannot hold it.

-- What the ledger is called; one row each.
CREATE TABLE meta (name text COLLATE "C" PRIMARY KEY, value text NOT NULL);

-- Who leads. The term only grows; every commit locks the row and checks the term. A partition of sellers would be one more row.
CREATE TABLE leases (
    name       text COLLATE "C" PRIMARY KEY,
    term       bigint      NOT NULL,
    holder     text,
    url        text,
    secret     text,
    length_ms  bigint      NOT NULL,
    renewed_at timestamptz NOT NULL
);
INSERT INTO leases (name, term, length_ms, renewed_at) VALUES ('ledger', 0, 0, clock_timestamp());

-- Append-only, chained by hash per seller ('' is the broker's own chain). The ledger itself; all below can be rebuilt from it.
CREATE TABLE events (
    seller   text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    at       bigint NOT NULL,
    serial   text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    what     text COLLATE "C" NOT NULL,
    body     text   NOT NULL,
    hash     bytea  NOT NULL,
    PRIMARY KEY (seller, sequence)
);
CREATE INDEX events_of_job ON events (seller, serial, sequence) WHERE serial <> '';

-- One row for each serial number, for ever. The place in the queue orders them by acceptance. Kind, time and disks stand in the
-- body too; here they can be asked for.
CREATE TABLE jobs (
    place       bigint  PRIMARY KEY,
    seller      text COLLATE "C" NOT NULL,
    serial      text COLLATE "C" NOT NULL,
    state       text COLLATE "C" NOT NULL,
    live        boolean NOT NULL,
    revision    bigint  NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    accepted_at bigint  NOT NULL,
    disks       text[]  NOT NULL,
    body        text    NOT NULL,
    UNIQUE (seller, serial)
);
CREATE INDEX jobs_of_seller ON jobs (seller, place);
CREATE INDEX jobs_live ON jobs (place) WHERE live;

-- A number has one owner.
CREATE TABLE numbers (
    disk   text COLLATE "C" NOT NULL,
    kind   text COLLATE "C" NOT NULL,
    code   text COLLATE "C" NOT NULL,
    number text COLLATE "C" NOT NULL,
    owner  text NOT NULL,
    status text NOT NULL,
    digest text NOT NULL,
    PRIMARY KEY (disk, kind, code, number)
);

CREATE TABLE accounted (
    disk text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    pair text NOT NULL,
    PRIMARY KEY (disk, kind)
);

CREATE TABLE disk_fences (
    disk     text COLLATE "C" PRIMARY KEY,
    epoch    bigint NOT NULL,
    sequence bigint NOT NULL,
    owner    text
);

CREATE TABLE disk_reports (disk text COLLATE "C" PRIMARY KEY, seen_at bigint NOT NULL, report text NOT NULL);
CREATE TABLE disk_assignments (disk text COLLATE "C" PRIMARY KEY, body text NOT NULL);
CREATE TABLE sellers (seller text COLLATE "C" PRIMARY KEY, body text NOT NULL);

CREATE TABLE issue_points (
    seller text COLLATE "C" NOT NULL,
    point  text COLLATE "C" NOT NULL,
    body   text NOT NULL,
    PRIMARY KEY (seller, point)
);

CREATE TABLE agents (agent text COLLATE "C" PRIMARY KEY, body text NOT NULL);

CREATE TABLE enrollments (
    hash       text COLLATE "C" PRIMARY KEY,
    name       text   NOT NULL,
    expires_at bigint NOT NULL,
    used_by    text
);

CREATE TABLE api_keys (
    id         text COLLATE "C" PRIMARY KEY,
    hash       text   NOT NULL,
    name       text   NOT NULL,
    role       text   NOT NULL,
    sellers    text   NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint,
    revoked_at bigint
);
