"""Indices streamed over the windows of large images."""
