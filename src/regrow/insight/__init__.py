"""What people ask of runs: reads the journal, and never writes. A viewer disturbs no run."""
