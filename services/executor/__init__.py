"""The executor: turns what programs ask of their roles into turns of agents, and turns into facts."""
