-- Tool results that left a thread's history, or were too long for it, by a handle that follows from what they hold.
CREATE TABLE results (
    thread_id TEXT NOT NULL,
    handle TEXT NOT NULL,
    position BIGINT GENERATED ALWAYS AS IDENTITY,
    tool TEXT NOT NULL,
    size INT NOT NULL,  -- of the text, in characters
    type TEXT NOT NULL,  -- how the checkpoints' serializer wrote the packed text: encrypted where they are
    blob BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (thread_id, handle)
);
CREATE INDEX results_newest ON results (thread_id, position DESC);
