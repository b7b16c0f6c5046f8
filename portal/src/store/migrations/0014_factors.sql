-- Second factors of people who sign in to the console, as JSON: what their telephones have too, and digests of recovery codes.
CREATE TABLE second_factors (
    account TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
);
