-- The same text for SQLite and PostgreSQL. Times are milliseconds since 1970 in UTC, of tokens seconds.

CREATE TABLE requests (
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    seller TEXT NOT NULL,
    job_serial TEXT NOT NULL,
    -- The number that it issued; empty before.
    code TEXT NOT NULL,
    number TEXT NOT NULL,
    -- The number that it is about; empty of blue ones.
    about_code TEXT NOT NULL,
    about_number TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    qr_token TEXT NOT NULL,
    share TEXT NOT NULL,
    phase TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, serial)
);
-- At most one job at the broker for a serial number, and one request for a job. A plan has no job of its own.
CREATE UNIQUE INDEX requests_job ON requests (seller, job_serial);
CREATE INDEX requests_number ON requests (tenant, code, number) WHERE code <> '';
CREATE INDEX requests_about ON requests (tenant, about_code, about_number) WHERE about_code <> '';
CREATE INDEX requests_fingerprint ON requests (tenant, fingerprint, created_at) WHERE fingerprint <> '';
CREATE INDEX requests_qr ON requests (qr_token) WHERE qr_token <> '';
CREATE INDEX requests_share ON requests (share) WHERE share <> '';
CREATE INDEX requests_due ON requests (due_at) WHERE due_at < 9223372036854775807;
CREATE INDEX requests_waiting ON requests (created_at) WHERE phase = 'approval';

CREATE TABLE callbacks (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX callbacks_due ON callbacks (due_at) WHERE due_at < 9223372036854775807;
CREATE INDEX callbacks_request ON callbacks (tenant, serial, created_at);

CREATE TABLE tokens (
    appid TEXT NOT NULL,
    token TEXT NOT NULL,
    jti TEXT NOT NULL,
    used_for TEXT NOT NULL,
    until_s BIGINT NOT NULL,
    PRIMARY KEY (appid, token)
);
CREATE UNIQUE INDEX tokens_jti ON tokens (appid, jti) WHERE jti <> '';
CREATE INDEX tokens_until ON tokens (until_s);

CREATE TABLE settings (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);

CREATE TABLE notes (
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    place BIGINT NOT NULL,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, serial, place)
);
