"""What a model answered, item by item, and the tidy tables made of it."""
