-- What is known of an API key besides what it may do: the persons who have held it in their hands.
ALTER TABLE api_keys ADD COLUMN about TEXT NOT NULL DEFAULT '{}';
