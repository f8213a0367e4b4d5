"""Training on an archive: its scenes, what supervises, validation."""
