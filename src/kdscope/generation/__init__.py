"""Completions of prompts: one protocol, one file a backend, and batches that survive a kill."""
