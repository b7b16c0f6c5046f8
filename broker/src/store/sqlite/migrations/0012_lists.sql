-- What lists of jobs are read by, apart from the jobs: an entry is written once, when the job comes or goes to a disk, and a change of
-- the job touches none.

CREATE TABLE accepted (place INTEGER PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL);
INSERT INTO accepted (place, kind, at) SELECT place, json_extract(body, '$.kind'), json_extract(body, '$.accepted_at') FROM jobs;
CREATE INDEX accepted_of_kind ON accepted (kind, place);
-- Places rise with the moment only as long as the clock does.
CREATE INDEX accepted_at ON accepted (at);

-- Jobs that were handed to a disk.
CREATE TABLE attempted (disk TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (disk, place)) WITHOUT ROWID;
INSERT OR IGNORE INTO attempted (disk, place)
SELECT json_extract(value, '$.disk'), place FROM jobs, json_each(body, '$.attempts');

-- By state too, so that no row of another state is looked at.
DROP INDEX jobs_of_rare_ends;
CREATE INDEX jobs_of_rare_ends ON jobs (state, place) WHERE state IN ('failed', 'cancelled', 'voided');
