"""Single tests and intervals over arrays: paired comparisons, corrections for many tests, run variance, planning.

Nothing is imported here: planning asks only what a study could see, and pays for no statistics library.
"""
