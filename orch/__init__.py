"""orch serialises and drives software work done by agents across many git repositories."""

__version__ = "0.1.0"
