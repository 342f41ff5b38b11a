"""The door: the command `piped`."""
