-- What an API key is limited to inside its role (a list; empty: nothing), and when it was used last. What an enrolment code is for
-- beyond one new agent: the seller or disk that the agent may have, an agent that gets another key, or many agents that wait.
ALTER TABLE api_keys ADD COLUMN actions TEXT NOT NULL DEFAULT '[]';
ALTER TABLE api_keys ADD COLUMN used_at INTEGER;
ALTER TABLE enrollments ADD COLUMN what TEXT NOT NULL DEFAULT '{}';
