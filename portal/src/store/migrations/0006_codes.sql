-- Files of goods and customers, codes made by hand, reservations. Times are milliseconds since 1970 in UTC.

CREATE TABLE entries (
    tenant TEXT NOT NULL,
    -- goods, customers.
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, kind, key)
);

-- 码上开票: which requests are codes made by a person. What became of one is in its request.
CREATE TABLE codes (
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    orgcode TEXT NOT NULL,
    made_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, serial)
);
CREATE INDEX codes_created ON codes (tenant, created_at, serial);

-- How receipts of an organisation are printed.
CREATE TABLE receipts (
    tenant TEXT NOT NULL,
    orgcode TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, orgcode)
);

-- 预约二维码: what a code on the wall asks.
CREATE TABLE reservation_codes (
    token TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    orgcode TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX reservation_codes_of ON reservation_codes (tenant, orgcode, created_at);

CREATE TABLE reservations (
    tenant TEXT NOT NULL,
    -- Serial number of the one invoice that it can become; fixed when it is made.
    serial TEXT NOT NULL,
    orgcode TEXT NOT NULL,
    -- Given by the form, so that a form sent twice is one reservation.
    form_key TEXT NOT NULL,
    number BIGINT NOT NULL,
    buyer TEXT NOT NULL,
    phone TEXT NOT NULL,
    mail TEXT NOT NULL,
    used BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, serial)
);
CREATE UNIQUE INDEX reservations_form ON reservations (form_key);
-- A number names one reservation of an organisation.
CREATE UNIQUE INDEX reservations_number ON reservations (tenant, orgcode, number);
