"""What is learned: a world model and models of the others."""
