-- Who may ask the server. A token is shown once, when it is made; what is kept of it lets nobody in.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    sha256 BYTEA NOT NULL UNIQUE CHECK (length(sha256) = 32),
    name TEXT NOT NULL,  -- the person; one may hold several, to replace one by another
    role TEXT NOT NULL CHECK (role IN ('user', 'approver', 'admin')),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ NOT NULL,
    revoked_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ  -- to the minute
);
