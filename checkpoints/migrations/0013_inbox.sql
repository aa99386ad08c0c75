-- The inbox: told when an approval is asked or decided, by whatever process; and its newest rows found by key.
CREATE INDEX approvals_newest ON approvals (created_at, position);

-- The channel is one for the database, so that the schema is said. Equal notices of a transaction are sent once.
CREATE FUNCTION approvals_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ballast_approvals', TG_TABLE_SCHEMA);
    RETURN NULL;
END
$$;
CREATE TRIGGER approvals_appear AFTER INSERT ON approvals
    FOR EACH ROW EXECUTE FUNCTION approvals_changed();
CREATE TRIGGER approvals_change AFTER UPDATE OF status ON approvals
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION approvals_changed();
