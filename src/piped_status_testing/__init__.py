"""Status tests: test cases that run inside the running process."""

from piped.catalog.houses import House

HOUSE = House(sections=("status_tests",))
