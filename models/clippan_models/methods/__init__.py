"""Sharpening methods by name."""
