"""`python -m countersign`, the same program as the console script."""

from __future__ import annotations

import sys

from countersign.cli import run


def main() -> None:
    """Exit with 0 done, 1 failed, 2 wrong words or settings."""
    sys.exit(run())


if __name__ == "__main__":
    main()
