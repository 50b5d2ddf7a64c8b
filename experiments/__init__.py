"""Studies behind the tables in `results/`."""
