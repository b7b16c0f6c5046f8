-- Consumers' codes are links like those of invoices: a hash of the token, an end, revocation.
ALTER TABLE links ADD COLUMN kind TEXT NOT NULL DEFAULT 'invoice';
DROP INDEX links_request;
CREATE UNIQUE INDEX links_request ON links (tenant, serial, kind, generation);

-- They were tokens in plain text before. No hash is made in SQL that both databases know, so the portal takes these over when it
-- starts, before it answers anybody, and leaves this table empty.
CREATE TABLE plain_codes (
    token TEXT NOT NULL,
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    PRIMARY KEY (tenant, serial)
);
INSERT INTO plain_codes (token, tenant, serial) SELECT qr_token, tenant, serial FROM requests WHERE qr_token <> '';
DROP INDEX requests_qr;
ALTER TABLE requests DROP COLUMN qr_token;
