"""Addresses of Piped 0.7 for what lives in houses of its own."""
