"""Quality indices, one per file."""
