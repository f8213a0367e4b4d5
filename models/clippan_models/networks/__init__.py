"""Fusion networks, one backbone per file."""
