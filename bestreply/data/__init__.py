"""Logged play: on disk (`store`), in memory, and what can be wrong with it (`validate`)."""
