"""What may be written: the options of a processor or provider, read from its signature."""
