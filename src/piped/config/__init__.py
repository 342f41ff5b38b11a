"""What is written: files of YAML, read into a tree in which every value knows its place."""
