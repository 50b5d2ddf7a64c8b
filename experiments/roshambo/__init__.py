"""Rock-paper-scissors against the 43 programs that ship with OpenSpiel: `python -m experiments roshambo`; see `results/roshambo`."""
