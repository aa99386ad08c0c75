CREATE TABLE approvals (
    id TEXT PRIMARY KEY,
    position BIGINT GENERATED ALWAYS AS IDENTITY,
    thread_id TEXT NOT NULL,
    interrupt_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    args JSON NOT NULL,  -- not JSONB: a person reads the arguments in the tool's own order
    risk TEXT NOT NULL CHECK (risk IN ('low', 'medium', 'high', 'critical')),
    reason TEXT NOT NULL,
    deadline TIMESTAMPTZ,
    status TEXT NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'approved', 'edited', 'rejected', 'responded', 'cancelled', 'done')),
    decision JSON,
    decided_by TEXT,
    decided_at TIMESTAMPTZ,
    applied_at TIMESTAMPTZ,  -- when a run took the decision over
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CHECK ((status = 'pending') = (decided_at IS NULL))
);
CREATE INDEX approvals_thread ON approvals (thread_id);
CREATE INDEX approvals_pending ON approvals (created_at) WHERE status = 'pending';

-- The list a person was shown at a checkpoint: positions in an answer refer to it.
CREATE TABLE approvals_shown (
    thread_id TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    turn TEXT NOT NULL,  -- id of the request the run works on
    approval_ids TEXT[] NOT NULL,
    shown_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (thread_id, checkpoint_id)
);
