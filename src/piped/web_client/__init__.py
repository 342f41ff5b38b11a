"""The other side of HTTP: requests to other servers, and what becomes of their answers."""
