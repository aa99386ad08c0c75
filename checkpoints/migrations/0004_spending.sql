-- What a tenant spent on a day (UTC, this database's clock), calls in flight included at their worst. Two tables: one
-- statement settles money and counts tool calls, and can't change a row twice.
CREATE TABLE tenant_usd (
    tenant TEXT NOT NULL,
    day DATE NOT NULL,
    usd NUMERIC(20, 10) NOT NULL,
    PRIMARY KEY (tenant, day)
) WITH (fillfactor = 50);

CREATE TABLE tenant_tool_calls (
    tenant TEXT NOT NULL,
    day DATE NOT NULL,
    tool_calls BIGINT NOT NULL,
    PRIMARY KEY (tenant, day)
) WITH (fillfactor = 50);

-- One row a model call, by the place in a thread that made it: at its worst until it is settled. A place that is
-- executed again finds what its earlier executions spent before they were cut off; rows of places passed are deleted.
CREATE TABLE reservations (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id TEXT NOT NULL,
    checkpoint_id TEXT NOT NULL,
    node TEXT NOT NULL,
    execution TEXT NOT NULL,
    tenant TEXT NOT NULL,
    day DATE NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    usd NUMERIC(20, 10) NOT NULL
);
CREATE INDEX reservations_thread ON reservations (thread_id);
