-- What a person approved of an MCP server: its tools as it listed them then.
CREATE TABLE mcp_listings (
    server TEXT PRIMARY KEY,
    digest TEXT NOT NULL,  -- of the whole listing
    tools TEXT NOT NULL,  -- JSON as it was approved, with a digest for each tool; text, so that nothing rewrites it
    approved_by TEXT NOT NULL,
    approved_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    cut_off_at TIMESTAMPTZ  -- when the server was seen to list anything else; NULL while it holds to it
);
