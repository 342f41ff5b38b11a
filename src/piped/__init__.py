"""Piped: wire protocols to processing in YAML."""
