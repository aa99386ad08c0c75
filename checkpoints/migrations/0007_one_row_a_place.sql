-- One row a node of a thread instead of one a model call: what was set aside or spent since the checkpoint it starts
-- from. Reserving overwrites it in place, so nothing is inserted or deleted on the way.
DROP TABLE reservations;
CREATE TABLE reservations (
    thread_id TEXT NOT NULL,
    node TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    calls BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    usd NUMERIC(20, 10) NOT NULL,
    PRIMARY KEY (thread_id, node)
) WITH (fillfactor = 50);
