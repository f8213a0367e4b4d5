"""HTML of typed content; touches no file."""
