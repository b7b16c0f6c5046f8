-- What the retention time may end stands beside the event, and the chain covers its hash.
ALTER TABLE events ADD COLUMN content TEXT;
ALTER TABLE events ADD COLUMN content_hash TEXT NOT NULL DEFAULT '';
