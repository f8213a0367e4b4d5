"""The unsupervised training loop over tensors; no paths, no prints."""
