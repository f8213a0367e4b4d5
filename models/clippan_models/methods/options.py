"""Which method, where nobody chooses; free of torch."""

DEFAULT_METHOD = "clippan"
"""A name in `registry.METHODS`."""
