"""What docs/simulated_fidelity.md says around the tables of `simulate_fidelity`."""

from __future__ import annotations

from collections.abc import Mapping


def page(tables: Mapping[str, str], studies: int, seed: int) -> str:
    """The tables, by name, with what a reader must know about them."""
    sections = "\n\n".join(f"## {title}\n\n{text}\n\n{tables[name]}" for name, (title, text) in _SECTIONS.items())
    return f"""# Does fidelity find copying, and nothing else?

Written by `python benchmarks/simulate_fidelity.py --studies {studies} --seed {seed} --out FILE`. What follows from it
for a reader of results is in [fidelity.md](fidelity.md).

A study is 1,000 items, answered by a teacher, an SFT control of accuracy .60 and a student. Items differ in
difficulty, which all models share: normal on the logit scale with the SD that the tables name. *Free answers*: wrong
answers never coincide by chance. *Choice of 4*: a wrong answer is one of three. *Headline*: agreement beyond accuracy
minus the control's. *Above 0*: its 95% interval lies above 0. Measures, intervals (of levels BCa, of differences the
value and 1.96 standard errors of the joint item bootstrap), normalised scores and comparisons are the product's own
functions; {studies:,} studies of every setting unless said otherwise, half of them for the matched control. Rates
have their 95% Monte Carlo interval in brackets, biases are in points. **no**: that interval lies wholly beyond the
bar, which is 5% for "above 0" of an independent student, .5 points either way for its bias, and named in the text
where it is another.

{sections}
"""


_SECTIONS = {
    "level": (
        "An independent student that is merely better",
        """It shares nothing with the teacher but the difficulty of items. *Level*: agreement beyond accuracy without a
control. *Raw agreement, normalised*: between the control and identity. The last two columns are what the
headline is instead of; *with BCa limits* is the headline under another interval, which errs too often where
few items decide (a teacher at .96). These three have no bar. A negative bias is on the safe side for "above
0", and on the unsafe side for whoever concludes that a student is less like its teacher than the control is.""",
    ),
    "reality": (
        "What varies in reality",
        """One factor at a time from: teacher .81, difficulty SD 2, free answers, control .60, an independent student 15
points better. *These checkpoints' own value*: the difference that the two trained models have over all items
there could be, of which the interval speaks; it is known for free answers without shared noise. In the three
rows "student no better" the share above 0 is how often a statement about the *method* would be wrong: the
interval is about these checkpoints, and runs that happen to be good at the same kinds of items as the
teacher's run are in fact more like it.

The difference to a control depends on its accuracy: with controls far below the student it is too large, with
controls at .75 too small. The matched control carries the control's latent correlation with the teacher over
to the student's accuracy and mends both. Neither is right where difficulty is far from normal, or beside a
collapsed control.""",
    ),
    "power": (
        "A student that copies a fifth",
        """On a random fifth of the items it gives the teacher's answer, else it answers independently with accuracy
.60. Bar: 95% with a teacher at .81 and free answers. Items for a power of .80: from the mean and the median
standard error at 1,000 items, rounded up to fifties; the last column is the power measured at that number
(500 studies).""",
    ),
    "ceiling": (
        "Above the ceiling",
        """A perfect greedy copy is at identity, exactly; a second seed of the teacher (here: one that gives the
teacher's answer on .6 of the items and is else independent) is not a copy, and the copy is reported as above
it. At most 5% of the others may be. 500 studies.""",
    ),
    "inherited": (
        "Inherited errors",
        """Same wrong answers among items both have wrong, minus the control's. *Common mistakes*: .3 of the wrong free
answers to an item are its common mistake; *attractive*: half of the wrong answers to a choice are its most
attractive wrong option. The student is independent; the last column is the power for a 20% copier (500
studies).""",
    ),
    "methods": (
        "Two students compared",
        """`compare_fidelity` on free answers, margin 2 points. *Equal*: both copy .4. *At the margin*: the first copies
less, so that it is less faithful by exactly the margin; bars are 6%. The last two columns: both copy .4, and
the first is otherwise independent and 15 points better, so that shared difficulty separates them a little. At
the margin with a teacher at .96 few items decide, and the normal approximation errs a little.""",
    ),
    "gate": (
        "The normalised score, given that it is shown",
        """Teacher .81, SD 1. The ceiling copies that share of the teacher's answers, the student that part of it.
Shown: the interval of ceiling minus control lies above 0. Bar: coverage of 94% wherever at least half of the studies
show a score. Bias and half-width are those of shown scores.""",
    ),
}
