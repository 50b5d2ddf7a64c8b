"""World models: networks, the learned world model, the game in its place."""
