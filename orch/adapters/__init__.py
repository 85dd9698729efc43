"""The outside world behind the ports; an adapter imports neither use cases nor another adapter."""
