"""Damage inputs and kill commands at random, and count what is lost, silent or a traceback."""
