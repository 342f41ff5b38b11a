"""What exists: the processors and providers that were found, by name."""
