"""Classical pansharpening methods, one family per file."""
