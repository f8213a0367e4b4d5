"""Many methods on many scenes: a suite of runs, their figures, and tables of them."""
