"""All that survives a crash: checkpoints, effects, approvals, and the embedded Postgres they live in."""
