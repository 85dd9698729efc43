"""The command line: thin verbs over the same use cases the web calls."""
