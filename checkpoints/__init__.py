"""The embedded model: weights, configuration and card; and the registry of models that can be downloaded."""
