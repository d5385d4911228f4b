"""`parallax` and `python -m parallax`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    from parallax.cli.streams import open_missing_descriptors

    open_missing_descriptors()  # before anything opens a file or a socket
    from parallax.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
