"""The contract of methods and backbones as tests, for those who write one: `pytest --pyargs clippan_models.testing`."""
