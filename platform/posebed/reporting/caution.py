"""What a reader must know of a comparison's intervals and verdicts, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from posebed.listing import counted
from posebed.reporting.formats import number, p_value
from posebed.scoring.paired import Comparison
from posebed.scoring.power import POWER
from posebed.scoring.sign_flips import LEVEL, smallest_p

FEW = 6
"""Categories below which intervals over them are called coarse."""


def cautions(comparison: Comparison) -> Iterator[str]:
    """How small a difference the categories and seeds can tell, and what they cannot tell at all."""
    categories, pairs = len(comparison.categories), comparison.pairs()
    if categories == 1:
        yield "There is one category, and so no interval over categories and no test."
    elif categories < FEW:
        yield f"Intervals over {categories} categories are coarse."
    if categories > 1 and pairs:
        yield _limits(comparison, categories, pairs)
    if len(comparison.runs) > 1 and all(len(run.seeds) == 1 for run in comparison.runs):
        yield "Every run has one seed, so that nothing here tells how far seeds lie apart."


def _limits(comparison: Comparison, categories: int, pairs: int) -> str:
    smallest, told = smallest_p(categories), comparison.detectable()
    allowed = f"{categories} categories allow no p below {p_value(smallest)}"
    if pairs > 1:
        allowed += f", corrected for {pairs:,} pairs {p_value(min(pairs * smallest, 1))}"
    if told is None or pairs * smallest > LEVEL:
        return f"{allowed}: too few to call any difference sure."
    seeds = [len(run.seeds) for run in comparison.runs]
    fewest, most = min(seeds), max(seeds)
    having = f"{categories} categories and {counted(most, 'seed') if fewest == most else f'{fewest} to {most} seeds'}"
    alone = "" if fewest > 1 or most == 1 else " Runs of one seed enter as if seeds did not differ."
    return (
        f"With {having}, this table tells differences of {number(told)} apart: a true one of that size between two "
        f"typical runs is found with a chance of {100 * POWER:.0f} %. {allowed[0].upper()}{allowed[1:]}.{alone}"
    )
