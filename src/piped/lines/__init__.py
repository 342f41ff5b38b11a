"""Bytes as lines: split, kept in bounds, and handed to a processor one at a time."""
