"""HTTP/2 over TLS: which clients speak it, what a connection of theirs carries, and what they may not do with it."""
