"""A small tea shop."""
