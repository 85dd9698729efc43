"""Git on the command line: the workspaces of tasks, and plain git as a forge (ADR 0013)."""
