"""Real servers in folders of their own, on free ports of loopback: for the tests, the benchmarks and the demonstrations."""
