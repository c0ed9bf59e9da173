"""The engine: content-addressed stages, the store that keeps their outputs, and the loop that fills it.

Nothing here knows what a model is. A stage is named by what it *is* (kind, code version, parameters, inputs), its
output is visible only once it is whole, and whatever is visible is never computed again.

Read in this order: `fingerprint`, `stage`, `manifest`, `store`, `plan`, `attempt`, `executors`, `run`, `explain`.
"""
