"""AgentDojo's suites on our real graphs, with a model that obeys every instruction it can see."""
