"""Files of weights: what they say of themselves, whether they fit a scene, where they come from."""
