"""The embedded model: weights, configuration and card."""
