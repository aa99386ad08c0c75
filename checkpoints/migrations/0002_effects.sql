-- Side effects, one row an intent. The key is made of thread, tool, arguments and occurrence.
CREATE TABLE effects (
    key TEXT PRIMARY KEY,
    position BIGINT GENERATED ALWAYS AS IDENTITY,
    thread_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    args JSON NOT NULL,  -- not JSONB: shown in the tool's own order
    state TEXT NOT NULL CHECK (state IN ('reserved', 'done', 'failed', 'unknown')),
    result TEXT,
    attempts INT NOT NULL DEFAULT 1,
    holder TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    finished_at TIMESTAMPTZ
);
CREATE INDEX effects_thread ON effects (thread_id, position);

CREATE TABLE orders (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    item TEXT NOT NULL,
    quantity INT NOT NULL CHECK (quantity > 0),
    unit_price NUMERIC(12, 2) NOT NULL CHECK (unit_price >= 0),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE payments (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    payee TEXT NOT NULL,
    iban TEXT NOT NULL,
    amount NUMERIC(12, 2) NOT NULL CHECK (amount > 0),
    reference TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- The workspace's documents as search_documents last read them.
CREATE TABLE documents (
    workspace TEXT NOT NULL,
    path TEXT NOT NULL,
    mtime_ns BIGINT NOT NULL,
    size BIGINT NOT NULL,
    body TEXT NOT NULL,
    words TSVECTOR GENERATED ALWAYS AS (to_tsvector('english', path || ' ' || body)) STORED,
    PRIMARY KEY (workspace, path)
);
CREATE INDEX documents_words ON documents USING gin (words);
