"""Insight: what people are told of runs."""
