-- Callbacks and messages that did not arrive, found over all requests of a tenant: 1 while somebody should look.
ALTER TABLE callbacks ADD COLUMN troubled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN troubled BIGINT NOT NULL DEFAULT 0;
CREATE INDEX callbacks_troubled ON callbacks (tenant, created_at) WHERE troubled = 1;
CREATE INDEX messages_troubled ON messages (tenant, created_at) WHERE troubled = 1;
-- What has ended without arriving; what is still tried is marked by its next attempt.
UPDATE callbacks SET troubled = 1 WHERE body LIKE '%"standing":"parked"%';
UPDATE messages SET troubled = 1 WHERE channel <> 'card' AND (body LIKE '%"standing":"failed"%' OR body LIKE '%"standing":"unavailable"%');
UPDATE messages SET troubled = 1 WHERE channel = 'card' AND body LIKE '%"standing":"failed"%';
