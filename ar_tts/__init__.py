"""Text-to-codes transformer, its conditioners, length control and decoding."""
