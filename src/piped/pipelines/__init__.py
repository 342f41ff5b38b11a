"""What will happen to a baton: definitions, graphs of processors, and the runs they are folded into."""
