"""The options of clippan: each stated once, for the command line, for Python and for the pages of the docs."""
