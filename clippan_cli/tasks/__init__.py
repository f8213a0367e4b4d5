"""The verbs without a terminal: each takes typed options and returns a typed result."""
