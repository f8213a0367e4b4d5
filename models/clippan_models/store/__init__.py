"""Every file that clippan_models reads or writes."""
