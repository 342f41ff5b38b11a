"""The steps that need no protocol: each file is one kind of work on a baton."""
