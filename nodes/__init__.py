"""The nodes of the graphs, one a file; `prompts.py` holds every word the model is told."""
