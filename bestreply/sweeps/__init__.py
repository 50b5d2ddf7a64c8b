"""Many runs: made from one file, put into one table, and held against each other over seeds."""
