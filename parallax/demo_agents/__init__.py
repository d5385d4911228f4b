"""Small real agents: programs that speak the command-agent convention and do honest work without a model.

Each reads one JSON line (the task) from standard input, works in its current directory, writes JSON lines, and ends
with a `result` line. They are run as `python -m parallax.demo_agents.<name>`.
"""
