"""Writes the report: one self-contained page, and its tables as CSV beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from posebed.contracts import Claim
from posebed.records import DEFAULT_SIGMA, write_text
from posebed.reporting.chart import series
from posebed.reporting.compare import (
    FLOOR,
    HEADLINE,
    KeypointTable,
    Table,
    by_category,
    by_keypoint,
    summary,
    tables,
)
from posebed.reporting.csv_tables import write_csv_tables
from posebed.reporting.figures import Figure, figures
from posebed.reporting.gallery import NEAR, GalleryPicture
from posebed.scoring.result import Result


@dataclass(frozen=True)
class DataProblems:
    """What the check of one dataset found."""

    data: str
    checked: int
    """Annotations looked at."""
    kept: int
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    """Reason to category to number."""
    notes: tuple[str, ...] = ()
    default_sigmas: tuple[str, ...] = ()
    """Categories whose OKS takes the default sigma."""


@dataclass(frozen=True)
class ProtocolSection:
    """One protocol, as the page shows it."""

    table: Table
    figures: list[Figure]
    categories: dict[str, list[float | None]]
    skeletons: list[KeypointTable]
    pictures: list[tuple[int, str, list[GalleryPicture]]]
    """Place in the table, run and pictures, of the runs that have some."""


def write_report(
    results: Sequence[Result],
    gallery: Sequence[GalleryPicture],
    problems: Sequence[DataProblems],
    folder: Path,
    title: str = "Pose estimation benchmark",
    published: Mapping[str, Sequence[Claim]] | None = None,
) -> Path:
    """Write ``index.html`` and its tables as CSV into the folder, and return the page's path.

    Args:
        published: Run to the numbers that are published for what it repeats.

    Raises:
        ValueError: two results have one key, or a picture is of a run without a result.
        LookupError: a result lacks the headline metric.
    """
    keys = [r.key for r in results]
    twice = sorted({k for k in keys if keys.count(k) > 1})
    if twice:
        raise ValueError(f"every run must have one result, but there are several of {', '.join(twice)}")
    strangers = sorted({p.run for p in gallery} - set(keys))
    if strangers:
        raise ValueError(
            f"every picture must be of a run with a result, but some are of {', '.join(strangers)}; "
            f"there is {', '.join(keys) or 'nothing'}"
        )
    compared = tables(results)
    page = _environment().get_template("report.html").render(
        title=title,
        summary=summary(compared),
        sections=[_section(table, gallery) for table in compared],
        problems=problems,
        published=published or {},
        anchors={key: f"run-{i}" for i, key in enumerate(keys)},
        keypoint_metric=HEADLINE,
        floor=FLOOR,
        near=NEAR,
        default_sigma=DEFAULT_SIGMA,
    )  # fmt: skip
    write_text(page, folder / "index.html")
    write_csv_tables(compared, folder)
    return folder / "index.html"


def _section(table: Table, gallery: Sequence[GalleryPicture]) -> ProtocolSection:
    keys = [row.result.key for row in table.rows]
    pictures = [(i, key, [p for p in gallery if p.run == key]) for i, key in enumerate(keys)]
    return ProtocolSection(
        table, figures(table), by_category(table), by_keypoint(table), [entry for entry in pictures if entry[2]]
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("posebed.reporting", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "signed": signed,
        "amount": amount,
        "duration": duration,
        "flat": flat,
        "series": series,
        "data_uri": data_uri,
    }
    return environment


def number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float | None) -> str:
    """With a plus or a true minus sign."""
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def amount(value: float | None) -> str:
    """Three digits and a unit: 28.5 M."""
    if value is None:
        return "–"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """The two largest units: 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.3g} s"


def flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names and their values in words."""
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        rows += flat(value, f"{above}{name}.") if isinstance(value, Mapping) else [(above + name, str(value))]
    return rows


def data_uri(image: bytes) -> str:
    """The picture as an address that needs no file.

    Raises:
        ValueError: the bytes are no JPEG, PNG or WebP.
    """
    for start, kind in ((b"\xff\xd8", "jpeg"), (b"\x89PNG", "png"), (b"RIFF", "webp")):
        if image.startswith(start):
            return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
    raise ValueError(f"a picture must be a JPEG, PNG or WebP, but starts with {image[:4]!r}")
