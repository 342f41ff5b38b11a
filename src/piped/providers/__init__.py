"""The front doors: every documented provider at its address."""
