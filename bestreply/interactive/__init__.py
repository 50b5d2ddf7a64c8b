"""The viewer of single games, and play in the browser against agents and other players."""
