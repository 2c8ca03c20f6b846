"""Stage ``report``: the results of all runs side by side, in one page.

Usage: python -m posestages.report
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from posebed.config import SEARCH
from posebed.data.images import prepared_pictures
from posebed.data.splits import SPLIT
from posebed.files import file_hash
from posebed.own_json import read_json
from posebed.params import Params, read_params
from posebed.places import PARAMS, prepared_folder, run_folder, split_folder
from posebed.records import PREPARED, Record, prepared_records
from posebed.reporting.common_ground import ground_sections
from posebed.reporting.compare import tables as tables_by_protocol
from posebed.reporting.gallery import Decode, GalleryPicture, gallery_of
from posebed.reporting.headlines import Headlines, headlines_of, read_headlines
from posebed.reporting.paper_tables import papers
from posebed.reporting.site import PICTURED, SHOWN, DataProblems, write_report
from posebed.reporting.terminal import headlines_text, print_headlines
from posebed.scoring.common_ground import tables_at
from posebed.scoring.held_out import held_out
from posebed.scoring.result import RESULT_FILE, Result, read_result
from posebed.scoring.search_result import SEARCH_FILE, SearchResult
from posestages import stage_times
from posestages.commands.preset_matching import claims, literature
from posestages.commands.report_sources import searches_in, tables_of, tracked_runs
from posestages.ending import run
from posestages.stage import catalog_here, usable_metrics

OUT = Path("report")


def read_results(params: Params) -> list[Result]:
    """The results of the runs and submissions that the parameters name, as far as they are there, in the order of their
    keys."""
    paths = [run_folder(key) / RESULT_FILE for key in sorted(params.scored)]
    return [read_result(path) for path in paths if os.path.lexists(path)]


def read_searches(params: Params) -> list[SearchResult]:
    """The searches that the parameters name, as far as they were finished."""
    return searches_in(run_folder(SEARCH + key) for key in params.searches)


def read_all(params: Params) -> tuple[list[Result], list[SearchResult]]:
    """Results and searches.

    Raises:
        LookupError: there is neither.
    """
    results, searches = read_results(params), read_searches(params)
    if not results and not searches:
        raise LookupError("at least one run must have a result, but none has; `dvc repro` makes them")
    return results, searches


def report(params: Params, out: Path = OUT, reference: str | None = None) -> Path:
    """Write the page, print the tables that it starts with and return its path.

    Args:
        reference: The run that others are compared with on common ground; by default the best floor.
    """
    results, searches = read_all(params)
    tables = {result.key: tables_of(result, run_folder(result.key)) for result in results}
    specs = [*usable_metrics(catalog_here(params))[0].values()]
    grounds = ground_sections(results, tables_at(tables), _album, params.scoring, specs, reference)
    used = sorted({result.data for result in results})
    presets = {run.preset for run in params.runs.values() if run.preset}
    page = write_report(
        results,
        _gallery(_pictured(results), tables),
        [_problems(data, {r.split for r in results if r.data == data}) for data in used],
        out,
        published=claims(results),
        tracked=tracked_runs(run_folder(result.key) for result in results),
        grounds=grounds,
        papers=papers(results, literature(), presets),
        searches=searches,
        scoring=params.scoring,
    )
    print_headlines(out)
    return page


def update_report(params: Params) -> None:
    """Write the report and print where it lies, unless it is of the very results and searches that are there."""
    sources, stored = made_from(params), _stored()
    if sources and (stored is None or stored.made_from != sources):
        print_place(report(params))


def print_place(page: Path) -> None:
    print(f"The report: {page.absolute().as_uri()}")


def results_table(params: Params) -> str:
    """The tables that the report starts with, and where it lies: those of the page where it is of the results that are
    there, else computed anew.

    Raises:
        LookupError: no run has a result.
    """
    sources, stored, page = made_from(params), _stored(), OUT / "index.html"
    if not sources.keys() - {SEARCH + key for key in params.searches}:
        raise LookupError("at least one run must have a result, but none has; `posebed run` makes them")
    if stored is not None and stored.made_from == sources:
        headlines, age = stored, ""
    else:
        headlines, age = _computed(params), "; older than these results, `posebed report` writes it anew"
    lines = [headlines_text(headlines), *([f"The report: {page.absolute().as_uri()}{age}"] if page.is_file() else [])]
    return "\n\n".join(lines)


def _computed(params: Params) -> Headlines:
    results = read_results(params)
    tables = {result.key: tables_of(result, run_folder(result.key)) for result in results}
    specs = [*usable_metrics(catalog_here(params))[0].values()]
    grounds = ground_sections(results, tables_at(tables), None, params.scoring, specs)
    return headlines_of(grounds, tables_by_protocol(results), {}, held_out(results, params.scoring))


def made_from(params: Params) -> dict[str, str]:
    """``Headlines.made_from`` of a report of what is there: by run, submission and search, the hash of its result."""
    files = {key: run_folder(key) / RESULT_FILE for key in params.scored}
    files |= {SEARCH + key: run_folder(SEARCH + key) / SEARCH_FILE for key in params.searches}
    return {key: file_hash(file) for key, file in files.items() if file.is_file()}


def _stored() -> Headlines | None:
    """The first tables of the report that was written last; None where there is none that can be read."""
    with suppress(ValueError):
        return read_headlines(OUT)
    return None


def _pictured(results: list[Result]) -> list[Result]:
    """The runs that the page has room to show pictures of."""
    return [row.result for table in tables_by_protocol(results) for row in table.best(SHOWN).rows][:PICTURED]


def _gallery(results: list[Result], tables: Mapping[str, Sequence[Path]]) -> list[GalleryPicture]:
    """Of each run with predictions those of its first member."""
    pictures: list[GalleryPicture] = []
    for data in sorted({result.data for result in results}):
        decode, records = _album(data)
        for result in results:
            if result.data == data and tables[result.key]:
                pictures += gallery_of(result.key, tables[result.key][0], decode, records)
    return pictures


def _album(data: str) -> tuple[Decode, dict[str, Record]]:
    """What reads the pictures, and the records by identity."""
    records = prepared_records(prepared_folder(data))
    return prepared_pictures(prepared_folder(data)).decode, {r.record: r for r in records}


def _about(data: str) -> dict:
    return read_json(prepared_folder(data) / "about.json", PREPARED)


def _equal_pictures(splits: Iterable[str]) -> Iterator[str]:
    for split in sorted(splits):
        about = read_json(split_folder(split) / "about.json", SPLIT)
        if count := about.get("equal_pictures_in_several_parts"):
            yield f"Pictures whose bytes stand in several parts of the split {split}: {count}."


def _problems(data: str, splits: Iterable[str]) -> DataProblems:
    about = _about(data)
    return DataProblems(
        data=data,
        checked=about["checked"],
        kept=about["kept"],
        dropped=about["dropped"],
        notes=(*about["notes"], *_equal_pictures(splits)),
        default_sigmas=tuple(about["default_sigmas"]),
    )


def main(arguments: list[str]) -> None:
    page = report(read_params(PARAMS))
    stage_times.add("report")
    if times := stage_times.summary():
        print(times)
    print_place(page)


if __name__ == "__main__":
    run(main)
