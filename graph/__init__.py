"""The state machine: typed state, per-run context, errors, routers and the wiring of each graph."""
