"""Array operations shared by every method, metric and loss."""
