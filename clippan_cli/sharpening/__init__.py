"""From an open scene to a fused file: plan, fit, fuse, provenance."""
