"""What orch takes from trackers and forges, and tells them: the mirror, never asked by a claim."""
