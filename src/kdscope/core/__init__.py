"""Errors a person reads, seeds, catalogues, and file operations that survive a crash, for every room."""
