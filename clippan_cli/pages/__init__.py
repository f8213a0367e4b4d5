"""HTML pages from typed content; reads no file but its own templates."""
