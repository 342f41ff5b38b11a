"""Child processes: started in groups of their own, read and written without blocking, and ended as a whole."""
