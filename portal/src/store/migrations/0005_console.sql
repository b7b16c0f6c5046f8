-- The console: who may sign in, who is signed in, and what requests are found by. Times are milliseconds since 1970 in UTC.

CREATE TABLE passwords (
    account TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE sessions (
    -- SHA-256 of the token. The token itself is stored nowhere.
    hash TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE INDEX sessions_account ON sessions (account);
CREATE INDEX sessions_seen ON sessions (seen_at);

CREATE TABLE sign_in_failures (
    whose TEXT NOT NULL PRIMARY KEY,
    count BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);
CREATE INDEX sign_in_failures_last ON sign_in_failures (last_at);

CREATE TABLE password_links (
    hash TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX password_links_account ON password_links (account);

-- Lists go by acceptance, the latest first. `listed` is 0 of rows that an older version wrote; the next start fills them in.
ALTER TABLE requests ADD COLUMN orgcode TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN fplx BIGINT NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN listed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX requests_list ON requests (tenant, created_at, serial);
CREATE INDEX requests_unlisted ON requests (created_at) WHERE listed = 0;

-- What a request is found by besides its key. A word that no longer fits stays: who knows the old one finds it too.
CREATE TABLE request_words (
    tenant TEXT NOT NULL,
    field TEXT NOT NULL,
    word TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    serial TEXT NOT NULL,
    PRIMARY KEY (tenant, field, word, created_at, serial)
);
