-- Consumers: orders of offline codes, invoices found again by extraction code or serial number, and tasks for clerks.

-- One order of a connected system is one request, for ever.
CREATE TABLE orders (
    syscode TEXT NOT NULL,
    number TEXT NOT NULL,
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (syscode, number)
);

ALTER TABLE requests ADD COLUMN extraction TEXT NOT NULL DEFAULT '';
CREATE INDEX requests_extraction ON requests (extraction) WHERE extraction <> '';
CREATE INDEX requests_serial ON requests (serial);

-- What a consumer asks the merchant's people for.
CREATE TABLE tasks (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- open or done.
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX tasks_open ON tasks (tenant, state, created_at);
CREATE INDEX tasks_request ON tasks (tenant, serial, created_at);
