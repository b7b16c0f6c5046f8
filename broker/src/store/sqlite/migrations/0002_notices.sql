-- What holds until it is taken back: pauses, warnings, troubles that a seller counts.
CREATE TABLE notices (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
