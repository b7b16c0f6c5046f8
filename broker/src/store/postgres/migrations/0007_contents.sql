-- What the retention time may end stands beside the event, and the chain covers its hash.
ALTER TABLE events ADD COLUMN content text;
ALTER TABLE events ADD COLUMN content_hash text NOT NULL DEFAULT '';

-- When a job last changed, in hours that the broker has served: a clock that jumps ends no content.
ALTER TABLE jobs ADD COLUMN served bigint NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN ended boolean NOT NULL DEFAULT false;
-- What went wrong, so that it can be asked for.
ALTER TABLE jobs ADD COLUMN problem text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN problem_class text COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX jobs_to_end ON jobs (served, place) WHERE NOT live AND NOT ended;

-- What a ledger that went back has to find out, or has found out.
CREATE TABLE reconcile (
    what text COLLATE "C" NOT NULL,
    key  text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (what, key)
);

-- Bulk re-issues: what was asked, and how far each has come.
CREATE TABLE bulk_reissues (key text COLLATE "C" PRIMARY KEY, body text NOT NULL);
