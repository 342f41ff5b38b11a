"""Perspective Broker: calls from other programs as batons, and calls of theirs from a pipeline."""
