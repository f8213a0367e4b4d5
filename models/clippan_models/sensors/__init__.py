"""Sensors as data files: band names, wavelengths, bit depth and nominal MTF gains."""
