"""HTTP: from a request to a baton, and from a pipeline to a response."""
