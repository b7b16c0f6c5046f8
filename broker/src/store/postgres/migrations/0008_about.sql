-- Void and red jobs by the invoice that they are about (`CODE NUMBER`): at most one of them may void or wholly reverse it.
ALTER TABLE jobs ADD COLUMN about text COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX jobs_about ON jobs (seller, about) WHERE about <> '';
