"""Flow matching codes-to-mel decoder and its solvers."""
