-- A commit is one statement, and with it one round trip: what does not hold must make the statement fail, and with it
-- everything that it wrote.
CREATE FUNCTION ledger_guard(holds boolean, guard text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF holds THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'TD001', MESSAGE = guard;
END
$$;
