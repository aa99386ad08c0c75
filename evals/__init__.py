"""What the agent is held to: suites that run it and say whether it did."""
