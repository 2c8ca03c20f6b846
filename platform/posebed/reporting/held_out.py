"""Methods over held-out categories, in words and lines; how the page shows them, in ``page/held_out.html``."""

from __future__ import annotations

from collections.abc import Iterable

from posebed.listing import counted
from posebed.reporting.formats import p_value
from posebed.reporting.sure import against_floor
from posebed.reporting.table_text import Line
from posebed.scoring.held_out import HeldOut
from posebed.scoring.sign_flips import LEVEL, smallest_p


def title(table: HeldOut) -> str:
    shots = f", {table.protocol['shots']}-shot" if "shots" in table.protocol else ""
    told = f", told {table.protocol['told']}" if "told" in table.protocol else ""
    return f"{table.data}, {len(table.units)} held-out categories{shots}{told}"


def sure(table: HeldOut) -> str:
    """Which methods are above the floor, in one sentence."""
    if table.floor is None:
        return "Nothing is tested: no floor ran on these categories."
    if len(table.units) < 2:
        return "Nothing is tested: there is one held-out category."
    above = [table.methods[place].name for place, of in table.above.items() if of.sure]
    floor = table.methods[table.floor].name
    return f"{against_floor(above, (), floor)}." if above else f"No method is surely better than the floor {floor}."


def cautions(table: HeldOut) -> str:
    """What the number of categories and seeds allows to say."""
    if len(table.units) < 2:
        return "There is one held-out category, and so no interval and no test."
    smallest, methods = smallest_p(len(table.units), two_sided=False), len(table.above)
    words = f"{len(table.units)} categories allow no p below {p_value(smallest)}"
    if methods > 1:
        words += f", corrected for {counted(methods, 'method')} {p_value(min(1, methods * smallest))}"
    few = ": too few to call any method sure" if methods * smallest > LEVEL else ""
    one_seed = all(len(run.seeds) == 1 for method in table.methods for run in method.runs)
    seeds = " Every run has one seed, so that nothing here tells how far seeds lie apart." if one_seed else ""
    return f"{words}{few}.{seeds}"


def held_out_lines(tables: Iterable[HeldOut]) -> list[Line]:
    """One line for each table and method."""
    return [_line(table, place) for table in tables for place in range(len(table.methods))]


def _line(table: HeldOut, place: int) -> Line:
    method, above = table.methods[place], table.above.get(place)
    line: dict[str, object] = {
        "data": table.data,
        "protocol": "; ".join(f"{name}: {value}" for name, value in sorted(table.protocol.items())),
        **{"method": method.name, "model": method.model, "runs": " ".join(run.key for run in method.runs)},
        **{"categories": len(table.units), table.metric: method.value, "spread": method.spread},
        **{"low": method.low, "high": method.high},
        "floor": None if table.floor is None else table.methods[table.floor].name,
        "over the floor": above and above.value,
        **{"over the floor low": above and above.low, "over the floor high": above and above.high},
        **{"categories won": above and above.wins, "p": above and above.p, "p corrected": above and above.corrected},
    }
    by_unit = zip(table.units, table.values[:, place].tolist(), strict=True)
    return line | {f"{table.metric} of {unit}": value for unit, value in by_unit}
