"""Evaluation: scored records of what models answered, and the tables of accuracy, gain and fidelity made of them."""
