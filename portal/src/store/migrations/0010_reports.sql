-- What was issued, summed for each invoice, rate and kind of zero: reports add these up. Amounts are fen; of reds below zero.
CREATE TABLE issued_sums (
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    -- As in the document, without trailing zeros: 0.13.
    rate TEXT NOT NULL,
    -- LSLBS, where the rate is 0.
    zero_rate TEXT NOT NULL,
    -- Of issue, in the legal time of China, as YYYYMMDD.
    day BIGINT NOT NULL,
    fplx BIGINT NOT NULL,
    orgcode TEXT NOT NULL,
    -- 1: a red.
    red BIGINT NOT NULL,
    -- 1: the invoice was voided; it counts in no sum.
    void BIGINT NOT NULL,
    net_fen BIGINT NOT NULL,
    tax_fen BIGINT NOT NULL,
    gross_fen BIGINT NOT NULL,
    PRIMARY KEY (tenant, serial, rate, zero_rate)
);
CREATE INDEX issued_sums_day ON issued_sums (tenant, day);
-- The next start writes those of before, as it brings older requests into the lists.
UPDATE requests SET listed = 0 WHERE phase = 'issued';
