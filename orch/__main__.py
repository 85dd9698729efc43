"""`orch`, and `python -m orch`."""

from __future__ import annotations

from orch.cli.root import root


def main() -> None:
    """Run the command line and leave with its exit code."""
    root(prog_name="orch")


if __name__ == "__main__":
    main()
