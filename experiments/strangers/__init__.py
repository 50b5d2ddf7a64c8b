"""Meet generated players of families that are not in the data; results in results/strangers/."""
