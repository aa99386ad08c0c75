"""Ballast beside LangChain's `create_agent`: same model, same tool, same Postgres, in one run."""
