-- What a ledger that went back has to find out, or has found out.
CREATE TABLE reconcile (
    what TEXT NOT NULL,
    key  TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (what, key)
) WITHOUT ROWID;
