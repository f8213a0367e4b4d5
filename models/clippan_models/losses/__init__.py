"""Training losses, one term per file."""
