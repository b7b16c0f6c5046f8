-- Bulk re-issues: what was asked, and how far each has come.
CREATE TABLE bulk_reissues (key TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
