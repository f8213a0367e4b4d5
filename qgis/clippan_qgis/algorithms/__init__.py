"""The algorithms, one file for each command of clippan."""
