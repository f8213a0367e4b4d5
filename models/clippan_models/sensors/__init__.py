"""Sensors as data files: band names, wavelengths, bit depth and nominal MTF gains."""

from clippan_models.sensors.guess import SensorGuess, guess_sensor
from clippan_models.sensors.loader import known_sensors, load_sensor
from clippan_models.sensors.matching import BandClue, as_in_image
from clippan_models.sensors.sensor import Band, Sensor

__all__ = ["Band", "BandClue", "Sensor", "SensorGuess", "as_in_image", "guess_sensor", "known_sensors", "load_sensor"]
