"""GitHub and GitHub Enterprise: pull requests, marks, merges and the merge queue (ADR 0031)."""
