"""Emotions as values: names, weights, intensity."""
