"""Entry points: the command line, the demo, and what `langgraph.json` names."""
