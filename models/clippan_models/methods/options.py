"""The default method; free of torch."""

DEFAULT_METHOD = "clippan"
"""A name in `registry.METHODS`."""
