"""Plane as a tracker: its API v1, self-hosted or in its cloud (ADR 0029)."""

from orch.adapters.plane.tracker import PlaneTracker as PlaneTracker
from orch.adapters.plane.tracker import plane_tracker as plane_tracker
