"""The trace browser: a run's completions side by side in a local browser. It reads, and never writes."""
