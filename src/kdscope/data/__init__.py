"""Text on disk becomes training examples and evaluation items, and those become batches of tokens."""
