"""`python -m parallax.demo DIR` makes the demo's repository in DIR, to play with."""

from __future__ import annotations

import sys
from pathlib import Path

from parallax.demo import make_repository


def main(arguments: list[str]) -> int:
    """Makes the repository; says where, or why not."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("Usage: python -m parallax.demo DIR\n")
        return 2
    place = Path(arguments[0])
    try:
        commit = make_repository(place)
    except FileExistsError:
        sys.stderr.write(f"{place} is there already; name a directory that is not.\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"{place}: {error.strerror}\n")
        return 2
    sys.stdout.write(f"{place}: a repository of one commit, {commit[:10]}, on main\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
