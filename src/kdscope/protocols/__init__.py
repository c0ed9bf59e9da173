"""The questions asked of a study: the published protocol, the rigorous one, and their results in sentences.

Single tests and intervals are `kdscope.statistics`; which questions are asked of a table of results or of item records,
how their p-values are adjusted, and what a result allows to be said is decided here. The report only shows it.
"""
