"""Fidelity of a student to its teacher: answers, texts, steps and confidences, their floors and their intervals."""
