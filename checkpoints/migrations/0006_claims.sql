-- Who may write to a thread: only the run that holds its newest token. Tokens are never used twice, so that a
-- thread that was deleted and begun anew does not let its old run write.
CREATE TABLE claims (
    thread_id TEXT PRIMARY KEY,
    token BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
    claimed_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
