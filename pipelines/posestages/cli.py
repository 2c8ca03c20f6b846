"""The command ``posebed``: look around, check data, train, predict and report. Thin: the work is elsewhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from posestages import stage

app = typer.Typer(
    help="Benchmark and tune pose-estimation models. The pipeline itself runs by `dvc repro`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()


@app.command()
def models() -> None:
    """List the zoo: every model, what it needs, and its paper."""
    from posebed import catalog

    table = Table("model", "task", "paper", "year", title="Models", title_justify="left")
    for name in catalog.names("posezoo"):
        spec = catalog.load("posezoo", name)
        tasks = ", ".join(t.replace("_", "-") for t in spec.tasks)
        table.add_row(name, tasks, *((spec.paper.title, str(spec.paper.year)) if spec.paper else ("", "")))
    console.print(table)


@app.command()
def datasets() -> None:
    """List the kinds of dataset that `data:` can name, and the built-in sets that need no download."""
    from posebed import catalog
    from posebed.menagerie import categories

    table = Table("source", "what it reads", "licence", "where to get it", title="Datasets", title_justify="left")
    for name in catalog.names("posebed.datasets"):
        spec = catalog.load("posebed.datasets", name)
        table.add_row(name, spec.title, spec.licence, spec.source)
    console.print(table)
    drawn = Table("set", "categories", "keypoints", title="Built-in pictures (menagerie)", title_justify="left")
    for name in ("quadrupeds", "mixed"):
        kinds = categories(name)
        counts = sorted({len(c.keypoints) for c in kinds})
        spread = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        drawn.add_row(name, f"{len(kinds)}: {', '.join(c.name for c in kinds)}", spread)
    console.print(drawn)


@app.command()
def check(path: Annotated[Path, typer.Argument(help="A folder with annotations, or one COCO-keypoints JSON.")]) -> None:
    """Tell everything that is wrong with annotations, with file, record and field. Writes nothing."""
    from posebed.data.checks import summary
    from posebed.datasets.coco_folder import check_path

    dataset = check_path(path)
    sound = Counter(record.category for record in dataset.records)
    table = Table("category", "keypoints", "sound records", title=str(path), title_justify="left")
    for category in dataset.categories:
        table.add_row(category.key, str(len(category.keypoints)), str(sound[category.key]))
    console.print(table)
    for note in dataset.notes:
        console.print(f"Note: {note}", highlight=False)
    if dataset.problems:
        console.print(summary(dataset.problems), highlight=False, markup=False)
        raise typer.Exit(1)
    console.print(f"No problem in {dataset.checked} annotations", highlight=False)


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A folder with annotations, or one COCO-keypoints JSON.")],
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("sheet.png"),
    count: Annotated[int, typer.Option(min=1, help="Records per category.")] = 6,
    category: Annotated[list[str] | None, typer.Option(help="Only these categories, by key.")] = None,
) -> None:
    """Draw a contact sheet of annotated records."""
    from posestages.pictures import draw_sheet

    draw_sheet(path, out, count, category or [])
    console.print(f"The sheet: {out}", highlight=False)


@app.command()
def train(key: Annotated[str, typer.Argument(help="An entry under runs: in params.yaml.")]) -> None:
    """Train one run on prepared data, as its pipeline stage does."""
    from posestages import train as training

    training.train(key)
    console.print(f"The run: {stage.run_folder(key) / 'train'}", highlight=False)


@app.command()
def predict(
    run: Annotated[str, typer.Argument(help="A trained run, by its key or folder.")],
    images: Annotated[list[Path], typer.Argument(help="Pictures.")],
    boxes: Annotated[Path | None, typer.Option(help="COCO JSON with boxes; else each picture is one box.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for poses.json and the drawn pictures.")] = Path("poses"),
) -> None:
    """Find poses in pictures; writes COCO keypoints JSON and pictures with the pose drawn on."""
    from posestages.pictures import predict_pictures

    count = predict_pictures(run, images, boxes, out)
    console.print(f"{count} poses: {out / 'poses.json'} and a picture of each image", highlight=False)


@app.command()
def report(out: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("report")) -> None:
    """Write the report of all results that are there."""
    from posebed.config import read_params
    from posestages import report as reporting

    page = reporting.report(read_params(stage.PARAMS), out)
    console.print(f"The report: {page.absolute().as_uri()}", highlight=False, soft_wrap=True)


@app.command()
def track() -> None:
    """Write every result to the MLflow tracker again, which refills one that was lost."""
    from posebed.config import read_params
    from posestages.report import read_results
    from posestages.score import mirror

    results = read_results(read_params(stage.PARAMS))
    mirror(results)
    console.print(f"{len(results)} runs tracked", highlight=False)


def main() -> None:
    """Entry point: mistakes of the user end in one sentence and exit code 2."""
    stage.run(lambda arguments: app(arguments))
