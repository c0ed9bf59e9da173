"""The vocabulary of results: names, units, decimals, labels and colours of methods, measures and hypotheses."""
