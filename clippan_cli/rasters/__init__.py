"""Files: numpy and rasterio, no torch, no terminal."""
