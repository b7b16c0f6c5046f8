-- Messages to people, and public links. Times are milliseconds since 1970 in UTC.

CREATE TABLE messages (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX messages_due ON messages (channel, due_at) WHERE due_at < 9223372036854775807;
CREATE INDEX messages_request ON messages (tenant, serial, created_at);
CREATE INDEX messages_address ON messages (channel, address, created_at);

CREATE TABLE links (
    -- SHA-256 of the token. The token itself is stored nowhere.
    hash TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX links_request ON links (tenant, serial, generation);

-- Links were tokens in plain text before.
DROP INDEX requests_share;
ALTER TABLE requests DROP COLUMN share;
