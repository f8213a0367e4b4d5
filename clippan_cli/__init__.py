"""clippan: pansharpening on the scene itself."""

__version__ = "0.1.0"
