-- The last entry of the log beside this file that is in these tables. An older version, which knows of no log, must not open it.
INSERT INTO meta (name, value) VALUES ('applied', '0');
