"""Scenes: which files belong together, and how a pair is read."""
