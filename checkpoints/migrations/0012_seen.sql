-- A digest of each argument of a call, by which its value is found again: "was this account ever paid before?". Spaces
-- and letter case do not matter (people write an IBAN with both). What can't be digested is NULL, so that an index on
-- it never stands in the way of recording an effect; long texts are left out. Neither is ever found: it counts as new.
-- Its cost keeps the planner from computing it for whole tables: it can't tell how rare a digest is.
CREATE FUNCTION argument_digests(tool TEXT, args JSON) RETURNS UUID[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
BEGIN
    RETURN (
        SELECT array_agg(substr(encode(sha256(convert_to(
            tool || ' ' || key || ' ' || lower(translate(value, E' \t\r\n' || chr(160), '')), 'UTF8'
        )), 'hex'), 1, 32)::uuid)
        FROM json_each_text(args) WHERE length(value) <= 500
    );
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$$;
-- Without fastupdate: its pending list is read by every search, and emptied by whoever fills it.
CREATE INDEX effects_seen ON effects USING gin (argument_digests(tool, args)) WITH (fastupdate = off)
    WHERE state = 'done';
CREATE INDEX approvals_seen ON approvals USING gin (argument_digests(tool, args)) WITH (fastupdate = off)
    WHERE status = 'done' AND effect_key IS NULL;
