"""Cases: what a configuration says that its pipelines do, and whether they do it."""
