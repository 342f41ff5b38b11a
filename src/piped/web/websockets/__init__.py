"""WebSockets: each message is a baton."""
