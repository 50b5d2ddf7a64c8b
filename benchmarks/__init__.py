"""Speed and memory, measured beside others' work in the same run: `python -m benchmarks`."""
