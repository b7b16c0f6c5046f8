-- People of the administrators' console, and how they come in: sessions, attempts that were not right, links for a first password.
CREATE TABLE users (name text COLLATE "C" PRIMARY KEY, body text NOT NULL);
CREATE TABLE sign_ins (
    what text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (what, key)
);

-- Few of very many jobs end so, and people look for those.
CREATE INDEX jobs_of_rare_ends ON jobs (place) WHERE state IN ('failed', 'cancelled', 'voided');
