"""The prompt: a Python console inside the running process, on its terminal."""

from piped.catalog.houses import House

HOUSE = House(extra="repl", sections=("repl",), needs=("prompt_toolkit",))
