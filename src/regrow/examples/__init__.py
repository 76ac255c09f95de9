"""Agents that run as they are, and that are meant to be read: start with `best_model`."""
