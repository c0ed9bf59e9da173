"""What can be concluded: paired comparisons, corrections for many tests, the published protocol and the rigorous one.

Nothing is imported here: planning asks only what a study could see, and pays for no statistics library.
"""
