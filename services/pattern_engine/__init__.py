"""The pattern engine: runs executions as durable programs. It alone writes `execution.*`."""
