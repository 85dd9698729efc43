"""What an agent says about its work, and what orch finds out itself."""
