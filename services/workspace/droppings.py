"""What tools leave behind and nobody means to commit. A repository overrides it with a line such as `!.coverage`."""

from __future__ import annotations

DROPPINGS = b"""
__pycache__/
*.pyc
.pytest_cache/
.ruff_cache/
.mypy_cache/
.hypothesis/
.coverage
.tox/
.venv/
node_modules/
.DS_Store
.aider.chat.history.md
.aider.input.history
.aider.tags.cache.v*/
"""
