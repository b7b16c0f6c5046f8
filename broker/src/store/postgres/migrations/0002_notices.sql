-- What holds until it is taken back: pauses, warnings, troubles that a seller counts.
CREATE TABLE notices (name text COLLATE "C" PRIMARY KEY, body text NOT NULL);
