"""Trains the prior that ships with clippan: a network that sharpens scenes of any sensor without having seen them."""
