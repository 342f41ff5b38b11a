"""Who is ready: resources, dependencies, and what a source may take in."""
