-- People of the administrators' console, and how they come in: sessions, attempts that were not right, links for a first password.
CREATE TABLE users (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sign_ins (what TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (what, key)) WITHOUT ROWID;

-- Few of very many jobs end so, and people look for those.
CREATE INDEX jobs_of_rare_ends ON jobs (place) WHERE state IN ('failed', 'cancelled', 'voided');
