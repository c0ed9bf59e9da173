"""Causal language models: where they come from, which weights train, how they generate."""
