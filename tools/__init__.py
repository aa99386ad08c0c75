"""What the agent can do: the `tool` decorator, one file a tool family, and the one way to run them."""
