"""What regrow costs, each figure beside the raw limit measured in the same run: `python -m benchmarks`."""
