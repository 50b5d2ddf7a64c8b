"""Opponent models: what the other players will do, and which types they have."""
