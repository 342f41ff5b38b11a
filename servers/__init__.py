"""Real servers in folders of their own, on free ports of loopback: for tests, benchmarks and demonstrations."""
