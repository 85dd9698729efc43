"""One module per page: its TITLE, and its body(settings)."""
