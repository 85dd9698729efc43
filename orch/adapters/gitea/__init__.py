"""Gitea as a forge: its API v1, 1.25 to 1.27."""

from orch.adapters.gitea.forge import WAITS as WAITS
from orch.adapters.gitea.forge import GiteaPulls as GiteaPulls
from orch.adapters.gitea.forge import Way as Way
