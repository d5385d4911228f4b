"""Secrets that stand in a pattern, known by their form: a token, a private key, a password in a URL."""

from __future__ import annotations

from compiler.patterns.reader import Node
from compiler.patterns.report import Report
from schemas.secrets import is_secret_text

_RUN = frozenset({"agentConfig", "command", "args", "run", "setup"})
"""Below these keys stands what programs are started with: a secret there is meant to be used."""

HINT = "Write env: {NAME: {secret: NAME}} in agentConfig, and read $NAME in the program."


def check_secret_texts(root: Node, report: Report) -> None:
    """Reports every text of a chart that holds a secret, outside of `env`, whose variables are checked one by one.

    What is run with one is an error. Elsewhere (a task that talks about `password=…`) it may be an example: a warning.
    """
    seen: set[int] = set()
    left: list[tuple[Node, bool]] = [(root, False)]
    while left:
        node, runs = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        left += [(item, runs) for item in node.items]
        left += [(value, runs or key.raw in _RUN) for key, value in node.pairs if not (runs and key.raw == "env")]
        if node.kind == "text" and is_secret_text(node.raw):
            message = "this text holds what looks like a secret, and would be readable in the log for ever"
            if runs:
                report.error("secret-literal", node.line, node.column, message, HINT)
            else:
                hint = "Remove it if it is one: an agent gets its secrets by env: {NAME: {secret: NAME}}."
                report.warning("secret-text", node.line, node.column, message, hint)
