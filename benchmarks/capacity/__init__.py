"""How many replicas and GPUs a load needs, from measured costs: `python -m benchmarks.capacity`."""
