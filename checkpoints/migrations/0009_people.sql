-- People in the loop: who asked, where arguments came from, what happened when, and a list of runs.
ALTER TABLE approvals
    ADD COLUMN requester TEXT NOT NULL DEFAULT '',  -- who sent the request the call belongs to; '' when not known
    ADD COLUMN authors TEXT[] NOT NULL DEFAULT '{}',  -- all who had a hand in the thread until then
    ADD COLUMN origins JSON,  -- for each argument where its value was found
    DROP CONSTRAINT approvals_status_check,
    ADD CONSTRAINT approvals_status_check CHECK (status IN (
        'pending', 'approved', 'edited', 'rejected', 'responded', 'cancelled', 'done', 'retried', 'abandoned', 'expired'
    ));
CREATE INDEX approvals_due ON approvals (thread_id, deadline) WHERE status = 'pending' AND deadline IS NOT NULL;
DROP INDEX approvals_pending;
CREATE INDEX approvals_pending ON approvals (created_at, position) WHERE status = 'pending';

-- Append-only: what was asked, seen and decided, by whom. No foreign keys: it outlives what it tells of.
CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    actor TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('request', 'view', 'decision')),
    approval_id TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    args_sha256 TEXT NOT NULL,  -- of the arguments as they are stored: those asked about, seen, or let run
    status TEXT NOT NULL  -- of the approval after it
);
CREATE INDEX audit_thread ON audit (thread_id, id);
CREATE INDEX audit_approval ON audit (approval_id, id);
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END
$$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_not_truncated BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- One row a thread, for lists. What a run has spent and how it ended is told by its state; this is a copy of it.
CREATE TABLE runs (
    thread_id TEXT PRIMARY KEY,
    position BIGINT GENERATED ALWAYS AS IDENTITY,
    owner TEXT NOT NULL,  -- who began the thread
    requester TEXT NOT NULL,  -- who sent its newest request
    authors TEXT[] NOT NULL DEFAULT '{}',  -- all who sent a request or edited its state
    graph TEXT NOT NULL,
    task TEXT NOT NULL,  -- the newest request, shortened
    outcome TEXT,  -- NULL while it runs, and when it was cut off
    iterations BIGINT NOT NULL DEFAULT 0,
    tool_calls BIGINT NOT NULL DEFAULT 0,
    tokens BIGINT NOT NULL DEFAULT 0,
    cost_usd NUMERIC(20, 10) NOT NULL DEFAULT 0,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX runs_newest ON runs (started_at DESC, position DESC);
CREATE INDEX runs_of_owner ON runs (owner, started_at DESC, position DESC);

-- Whatever writes the rows, the log has it: in the same transaction, by this database.
CREATE FUNCTION approvals_are_audited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (actor, action, approval_id, thread_id, tool, args_sha256, status) VALUES (
        coalesce(NEW.decided_by, NEW.requester),
        CASE WHEN TG_OP = 'INSERT' THEN 'request' ELSE 'decision' END,
        NEW.id, NEW.thread_id, NEW.tool,
        encode(sha256(convert_to(coalesce(NEW.decision -> 'args', NEW.args)::text, 'UTF8')), 'hex'),
        NEW.status
    );
    RETURN NULL;
END
$$;
CREATE TRIGGER approvals_asked AFTER INSERT ON approvals FOR EACH ROW EXECUTE FUNCTION approvals_are_audited();
CREATE TRIGGER approvals_decided AFTER UPDATE OF status ON approvals
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION approvals_are_audited();
