"""Which set-up a check needs on a clean checkout, as far as the lock files of a repository tell."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from schemas.base import Model


class ProposedSetup(Model, frozen=True, kw_only=True):
    """A set-up for the `lock` file of a package manager, which makes the directory `makes`."""

    lock: str
    makes: str
    setup: tuple[str, ...]

    def sentence(self) -> str:
        """What is missing, and what to write."""
        words = ", ".join(self.setup)
        return (
            f"{self.makes} is missing on the clean checkout: add workspace: "
            f"{{setup: [{words}], setupKey: [{self.lock}]}} to the pattern."
        )


_NODE = "npm npx node yarn pnpm bun bunx jest vitest mocha tsc eslint playwright turbo nx make"
_PYTHON = "uv python python3 pytest tox nox poetry pdm pipenv ruff mypy make"
_RUBY = "bundle rake rspec ruby rails make"
_PHP = "composer php phpunit pest vendor make"

_KNOWN: tuple[tuple[ProposedSetup, frozenset[str]], ...] = tuple(
    (ProposedSetup(lock=lock, makes=makes, setup=tuple(setup.split())), frozenset(programs.split()))
    for lock, makes, setup, programs in (
        ("package-lock.json", "node_modules", "npm ci", _NODE),
        ("npm-shrinkwrap.json", "node_modules", "npm ci", _NODE),
        ("pnpm-lock.yaml", "node_modules", "pnpm install --frozen-lockfile", _NODE),
        ("yarn.lock", "node_modules", "yarn install --frozen-lockfile", _NODE),
        ("bun.lock", "node_modules", "bun install --frozen-lockfile", _NODE),
        ("bun.lockb", "node_modules", "bun install --frozen-lockfile", _NODE),
        ("uv.lock", ".venv", "uv sync --locked", _PYTHON),
        ("poetry.lock", ".venv", "poetry install --no-interaction", "poetry"),
        ("pdm.lock", ".venv", "pdm sync", "pdm"),
        ("Gemfile.lock", "vendor/bundle", "bundle install", _RUBY),
        ("composer.lock", "vendor", "composer install --no-interaction", _PHP),
        ("mix.lock", "deps", "mix deps.get", "mix make"),
    )
)
"""Go, Cargo, Maven and Gradle fetch what they need themselves."""

_WORD = re.compile(r"[A-Za-z0-9_.-]+")


def proposed_setup(run: str | Sequence[str], files: Collection[str]) -> ProposedSetup | None:
    """The set-up that a command needs in a repository with these files at its top. None: none is known of."""
    words = set(_WORD.findall(run if isinstance(run, str) else " ".join(run)))
    for proposal, programs in _KNOWN:
        if proposal.lock in files and proposal.makes.partition("/")[0] not in files and words & programs:
            return proposal
    return None
