"""Rasters out: a path holds a whole, verified image or what was there before."""
