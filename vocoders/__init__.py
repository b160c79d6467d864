"""Mel front ends and vocoders."""
