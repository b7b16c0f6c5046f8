-- When a job last changed, in hours that the broker has served: a clock that jumps ends no content.
ALTER TABLE jobs ADD COLUMN served INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_to_end ON jobs (served, place) WHERE live = 0 AND ended = 0;
