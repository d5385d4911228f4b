"""The git side of executions."""
