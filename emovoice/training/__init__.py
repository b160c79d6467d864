"""Trains each part of the embedded model from a corpus folder."""
