"""The names of methods that options need; free of torch."""

DEFAULT_METHOD = "clippan"
"""A name in `registry.METHODS`."""

CLASSICAL_METHODS = ("exp", "brovey", "gsa", "mtf-glp-fs", "mtf-glp-hpm-r", "bdsd-pc", "sr-d")
"""The methods by equations, in the order of `classical.CLASSICAL`."""
