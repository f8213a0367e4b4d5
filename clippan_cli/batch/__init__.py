"""Many scenes, each sharpened once."""
