"""The command ``posebed``: look around, check data, train, predict and report. Thin: the work is elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from posebed.catalog import Catalog, installed
from posebed.config import MOST_SEED
from posebed.listing import shown, visible
from posebed.places import PARAMS
from posebed.yamlfile import parse_yaml
from posestages import cli_submissions, cli_tasks, cli_trained, stage
from posestages.terminal import console
from posestages.whole_numbers import whole

if TYPE_CHECKING:
    from posebed.records import Dataset


SEED = whole(0, MOST_SEED)
MOST_DRAWN = 1000
"""Records of a category on a sheet; a picture of more has more pixels than programs open."""


class _Commands(TyperGroup):
    """Commands that end like stages: Typer itself draws a box around what is wrong with the words of a command, and
    ends with a bare "Aborted." where a reader meets the end of a file too early."""

    def main(self, *arguments: Any, standalone_mode: bool = True, **settings: Any) -> Any:
        if not standalone_mode:
            return super().main(*arguments, standalone_mode=False, **settings)
        try:
            code = super().main(*arguments, standalone_mode=False, **settings)
        except typer.Abort:
            sys.exit(1)
        except Exception as error:
            if not hasattr(error, "format_message"):  # Typer's own of the words, whose class it does not name
                raise
            wrong: Any = error
            if not wrong.format_message():  # no words at all: the help is shown
                wrong.show()
                sys.exit(wrong.exit_code)
            path = wrong.ctx.command_path if getattr(wrong, "ctx", None) else "posebed"
            raise ValueError(f"{wrong.format_message().rstrip('.')}; `{path} --help` lists what there is") from None
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: typer.Context) -> object:
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise ValueError(f"a file must be whole, but ends too early: {error}") from error


app = typer.Typer(
    cls=_Commands,
    help="Benchmark and tune pose-estimation models. `dvc repro` runs the pipeline of a project.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_tasks.app)
app.add_typer(cli_trained.app)
app.add_typer(cli_submissions.app)


def _catalog() -> Catalog:
    """Also where the parameters have mistakes: who corrects them wants to see what they may name."""
    try:
        return stage.catalog_here()
    except ValueError:
        return installed()


@app.command()
def models() -> None:
    """List the models, with task, paper and origin."""
    from posebed.source_code import module_file
    from posebed.spec_text import Stated, stated_by

    table = Table("model", "task", "paper", "year", "from", title="Models", title_justify="left")
    for name, entry in sorted(_catalog().models.items()):
        file = None if entry.wrong else module_file(entry.module)
        stated, wrong = Stated(), entry.wrong
        try:
            stated = stated_by(file) if file else stated
        except ValueError as error:
            wrong = str(error)
        tasks = ", ".join(task.replace("_", "-") for task in stated.tasks)
        paper, year = (stated.paper.title, str(stated.paper.year)) if stated.paper else (wrong, "")
        table.add_row(name, tasks, escape(paper), year, escape(entry.origin))
    console.print(table)


@app.command()
def datasets() -> None:
    """List the kinds of dataset, and the built-in sets that need no download."""
    from menagerie import categories

    catalog = _catalog()
    table = Table("source", "what it reads", title="Datasets", title_justify="left", show_lines=True)
    for name, entry in sorted(catalog.datasets.items()):
        try:
            spec = catalog.dataset(name)
        except (LookupError, ValueError) as error:
            table.add_row(name, escape(str(error)))
            continue
        keypoints = f", {len(spec.skeleton.keypoints)} keypoints" if spec.skeleton else ""
        facts = {"options": ", ".join(spec.options.model_fields), "licence": spec.licence, "get it from": spec.source}
        facts |= {"read by": entry.origin}
        lines = [f"{spec.title}{keypoints}", *(f"{fact}: {text}" for fact, text in facts.items() if text)]
        table.add_row(name, escape("\n".join(lines)))
    console.print(table)
    console.print("`posebed assemble mp100` puts MP-100 together from the pictures of its 13 sources.", highlight=False)
    drawn = Table("set", "categories", "keypoints", title="Built-in pictures (menagerie)", title_justify="left")
    for name in ("quadrupeds", "mixed"):
        kinds = categories(name)
        counts = sorted({len(c.keypoints) for c in kinds})
        spread = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        drawn.add_row(name, f"{len(kinds)}: {', '.join(c.name for c in kinds)}", spread)
    console.print(drawn)


@app.command()
def metrics() -> None:
    """List the metrics, with definition, unit, needs and origin."""
    catalog = _catalog()
    known, wrong = stage.usable_metrics(catalog)
    table = Table("metric", "what it says", title="Metrics", title_justify="left", show_lines=True)
    for module, spec in known.items():
        for metric in spec.metrics:
            facts = {"unit": metric.unit or "share", "better": metric.better, "needs": ", ".join(spec.needs)}
            facts |= {"measured by": catalog.metrics[module].origin}
            lines = [metric.definition, *(f"{fact}: {text}" for fact, text in facts.items() if text)]
            table.add_row(metric.name, escape("\n".join(lines)))
    console.print(table)
    for sentence in wrong:
        console.print(sentence, highlight=False, markup=False)


Data = Annotated[Path, typer.Argument(help="Folder of annotations, or one file, in any format that is read.")]
Source = Annotated[str | None, typer.Option(help="Kind of dataset, as `posebed datasets` lists; detected by default.")]
Options = Annotated[list[str] | None, typer.Option("--option", help="Option of the source, NAME=VALUE; repeatable.")]


def _read_data(path: Path, source: str | None, options: list[str] | None) -> Dataset:
    from posebed.config import DataConfig
    from posebed.datasets.sleap_io import check_path
    from posestages.prepare import read

    values = _named_values(options, "--option")
    if source is None and not values:
        return check_path(path)
    return read(DataConfig(source=source or "coco_folder", path=str(path), options=values), "check")


def _named_values(texts: list[str] | None, option: str) -> dict[str, Any]:
    """YAML values by name, from texts NAME=VALUE."""
    given = [text.partition("=") for text in texts or ()]
    if wrong := [name for name, equals, _ in given if not (name and equals)]:
        raise ValueError(f"{option} must be NAME=VALUE, but is {shown(wrong[0])}")
    if twice := [name for name, count in Counter(name for name, _, _ in given).items() if count > 1]:
        raise ValueError(f"{option} must be given once for each name, but is given twice for {shown(twice[0])}")
    return {name: parse_yaml(value, f"{option} {name}") for name, _, value in given}


@app.command()
def check(path: Data, source: Source = None, option: Options = None) -> None:
    """List every problem of annotations, with file, record and field. Writes nothing."""
    from posebed.annotations.checks import summary
    from posebed.data.splits import PARTS

    dataset = _read_data(path, source, option)
    sound = [record for record in dataset.records if record.keypoints[:, 2].any()]
    parts = [part for part in (*PARTS, "") if any(r.part == part for r in sound)] if any(r.part for r in sound) else []
    of = Counter((r.category, r.part) for r in sound)
    console.print(str(path), highlight=False, markup=False, soft_wrap=True)
    table = Table("category", "keypoints", "sound records", *(part or "in no part" for part in parts))
    total = Counter(record.category for record in sound)
    for category in dataset.categories:
        counts = (total[category.key], *(of[category.key, part] for part in parts))
        table.add_row(escape(visible(category.key, "")), str(len(category.keypoints)), *map(str, counts))
    console.print(table)
    for note in dataset.notes:
        console.print(f"Note: {visible(note, '')}", highlight=False, markup=False)
    if dataset.problems:
        console.print(summary(dataset.problems), highlight=False, markup=False)
        raise typer.Exit(1)
    console.print(f"No problem in {dataset.checked} annotations", highlight=False)


@app.command()
def show(
    path: Data,
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("sheet.png"),
    count: Annotated[int, typer.Option(parser=whole(1, MOST_DRAWN), help="Records per category.")] = 6,
    category: Annotated[list[str] | None, typer.Option(help="Key of a category to draw; all by default.")] = None,
    source: Source = None,
    option: Options = None,
) -> None:
    """Draw a contact sheet of annotated records."""
    from posestages.commands.pictures import draw_sheet

    draw_sheet(_read_data(path, source, option), out, count, category or [])
    console.print(f"The sheet: {out}", highlight=False)


@app.command()
def convert(
    path: Annotated[Path, typer.Argument(help="Label file, or folder of a labelling project.", metavar="IN")],
    out: Annotated[Path, typer.Argument(help="Folder to write, or a file FILE.slp or FILE.pkg.slp.")],
    to: Annotated[str | None, typer.Option(help="Format to write; by default SLEAP's for .slp, else COCO.")] = None,
    source: Annotated[str | None, typer.Option("--from", help="Format of IN; detected by default.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Further folder in which films and pictures are looked up by name.")
    ] = None,
    half_pixel: Annotated[
        bool,
        typer.Option("--half-pixel", help="Subtract 0.5: in CVAT and Label Studio whole numbers are corners."),
    ] = False,
) -> None:
    """Convert labels between DeepLabCut, SLEAP, Lightning Pose, Ultralytics and COCO.

    CVAT and Label Studio are read, not written. Prints what was derived and what is lost.
    """
    from posestages.commands.convert import convert

    for line in convert(path, out, to, source, pictures, half_pixel):
        console.print(visible(line, ""), highlight=False, markup=False, soft_wrap=True)


@app.command()
def assemble(
    name: Annotated[str, typer.Argument(help="Dataset to put together: mp100.", metavar="DATASET")],
    folders: Annotated[
        list[str],
        typer.Option("--from", help="Folder to look in, or SOURCE=FOLDER if names do not show the source; repeatable."),
    ],
    out: Annotated[Path, typer.Option(help="Folder that becomes the dataset.")],
    copy: Annotated[bool, typer.Option("--copy", help="Copy pictures; by default they become hard links.")] = False,
) -> None:
    """Put MP-100 together from the pictures of its 13 sources.

    Prints what is missing and where to get it. The same command continues later. Ends with 1 while any is missing.
    """
    from posestages.commands.assemble import assemble, describe

    if name != "mp100":
        raise ValueError(f"the dataset must be mp100, the only one of several sources, but is {name!r}")
    assembled = assemble(folders, out, copy)
    table = Table("source", "key", "pictures", title="MP-100", title_justify="left")
    for row in assembled.rows():
        table.add_row(*map(escape, row))
    console.print(table)
    for line in describe(assembled, out):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not assembled.complete:
        raise typer.Exit(1)


@app.command()
def presets(
    names: Annotated[list[str] | None, typer.Argument(help="Names of presets; all by default.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Write the entries into params.yaml.")] = False,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            parser=SEED,
            help="Seed of a member of each run; repeatable. The first also draws few-shot records.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build each model and take one training step on noise.")
    ] = False,
) -> None:
    """List published results that can be run; print their entries of params.yaml, or add them."""
    from posestages.commands import presets as published

    if dry_run:
        _rehearse(names or list(published.all_presets()))
    elif add and not names:
        raise ValueError("--add must be given the names of presets, but got none")
    elif names:
        _print_or_add(published.combined(names, seed or [0]), add)
    else:
        _list_presets()


def _list_presets() -> None:
    from posestages.commands.presets import all_presets, headline

    table = Table("preset", "claimed", "of", title="Presets", title_justify="left", box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for name, preset in all_presets().items():
        if claim := headline(preset):
            of = f"{claim.setting}; {claim.dataset} {claim.split} ({claim.source})"
            table.add_row(name, f"{claim.metric} {claim.value:.4g}", of)
        else:
            table.add_row(name, "none known")
    console.print(table)


def _rehearse(names: list[str]) -> None:
    from tempfile import TemporaryDirectory

    from posestages.commands.dry_run import alike, rehearse

    for group in alike(names):
        with TemporaryDirectory() as folder:
            done = rehearse(group[0], Path(folder))
        height, width = done.size
        step = f"{done.parameters / 1e6:.1f} M parameters, one step at {height}x{width}, {done.seconds:.1f} s"
        for name in group:
            console.print(f"{name}: {step}", highlight=False, soft_wrap=True)
            step = f"as {group[0]}"


@app.command()
def ablate(
    model: Annotated[str, typer.Argument(help="Model whose paper has ablations.")],
    table: Annotated[str | None, typer.Option(help="Table to print or add; by default all tables are listed.")] = None,
    seed: Annotated[list[int] | None, typer.Option(parser=SEED, help="Seed of the runs; repeatable.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Write the entries into params.yaml.")] = False,
) -> None:
    """List the ablation tables of a paper; print their entries of params.yaml, or add them."""
    from posestages.commands import ablate as ablation

    if table is None and add:
        raise ValueError(f"--add must be given --table, one of {', '.join(ablation.ablations(model))}, but got none")
    if table is None:
        _list_ablations(model)
    else:
        _print_or_add(ablation.table_entries(model, table, seed or [0]), add)


@app.command()
def curve(
    run: Annotated[str, typer.Argument(help="Key of the run that the curve goes through.")],
    shots: Annotated[
        str | None, typer.Option(help="Numbers of supports to ask its weights with, such as 1,3,5,10.")
    ] = None,
    train_images: Annotated[
        str | None, typer.Option(help="Numbers of training pictures per category to train with, such as 5,10,20.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Write the entries into params.yaml.")] = False,
) -> None:
    """Print the entries of params.yaml for a learning curve, or add them; the report draws it."""
    from posebed.params import read_params
    from posestages.commands.curve import curve_entries, numbers

    if shots is None and train_images is None:
        raise ValueError("a curve must be given --shots or --train-images, but got neither")
    wanted = [
        numbers(text, option) if text is not None else []
        for text, option in ((shots, "--shots"), (train_images, "--train-images"))
    ]
    _print_or_add(curve_entries(read_params(PARAMS), _catalog(), run, *wanted), add)


def _list_ablations(model: str) -> None:
    from posestages.commands.ablate import ablations

    table = Table("table", "rows", "presets", title=f"Ablations of {model}", title_justify="left", box=box.SIMPLE_HEAD)
    for name, rows in ablations(model).items():
        table.add_row(name, str(len(rows)), ", ".join(rows))
    console.print(table)


def _print_or_add(wanted: dict[str, dict[str, Any]], add: bool) -> None:
    from posestages.commands import presets as published

    if not add:
        print(published.as_yaml(wanted), end="")
        return
    new = published.add(wanted, PARAMS)
    console.print(f"New in {PARAMS}: {', '.join(new) or 'nothing'}", highlight=False)
    for line in published.absent_data(wanted):
        console.print(line, highlight=False, markup=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the project; made if it does not exist.")] = Path(),
    example: Annotated[
        str | None, typer.Option(help="quadrupeds, mixed, photographs or plugin; by default the demo.")
    ] = None,
) -> None:
    """Start a project: parameters, pipeline, and a page that says what to do next."""
    from posestages.commands.init import init

    commands = init(folder, example)
    console.print(
        f"A project in {folder.resolve()}; its README.md says what to do. Next:", highlight=False, soft_wrap=True
    )
    for command in commands:
        console.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="model, dataset or metric.")],
    name: Annotated[str, typer.Argument(help="Name of the package: small letters, digits and _.")],
    folder: Annotated[Path, typer.Option("--in", help="Folder to write the package into.")] = Path(),
) -> None:
    """Start a package with a model, dataset or metric of your own.

    It holds a working example, its test and its entry point.
    """
    from posestages.commands.new import new

    out = new(kind, name, folder)
    console.print(f"The package: {out}", highlight=False, markup=False, soft_wrap=True)
    last = "every run is measured by it" if kind == "metric" else f"name it in {PARAMS}"
    console.print(f"Install it by `pip install -e {out}`, test it by `pytest {out}`; then {last}.", markup=False)


@app.command("import-checkpoint")
def import_checkpoint(
    model: Annotated[str, typer.Argument(help="Model, as `posebed models` lists it.")],
    file: Annotated[Path, typer.Argument(help="State dictionary of an official release.")],
    out: Annotated[str, typer.Option(help="Key of the new run.")],
    preset: Annotated[str | None, typer.Option(help="Preset that the checkpoint belongs to, for its settings.")] = None,
    data: Annotated[str | None, typer.Option(help="Kind of dataset that it was trained on, without --preset.")] = None,
    size: Annotated[str, typer.Option(help="With --data: height and width of the crops.")] = "256x256",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the config, NAME=VALUE; repeatable.")
    ] = None,
) -> None:
    """Make a run of an official checkpoint.

    Every tensor of the model must be found in it.
    """
    from posebed.contracts import Task
    from posestages.commands.import_checkpoint import Origin, import_checkpoint, read_size

    origin = Origin(preset, data, read_size(size), _named_values(settings, "--set"))
    folder = import_checkpoint(model, file, out, origin)
    console.print(f"The run: {folder}; `posebed predict {out} PICTURES` uses it", highlight=False)
    if installed().model(model).tasks == (Task.CATEGORY_AGNOSTIC,):
        console.print("It knows no categories: show it some by --support.", highlight=False)


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("report"),
    folder: Annotated[
        Path | None, typer.Option("--from", help="Report the results of this folder alone, such as runs/.")
    ] = None,
    tracker: Annotated[
        str | None, typer.Option("--from-mlflow", help="Report the results of this tracking server alone.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Run that the others are compared with on common ground; by default the best floor.", metavar="RUN"
        ),
    ] = None,
) -> None:
    """Write the report of all results."""
    from posebed.params import read_params
    from posestages import report as reporting
    from posestages.commands import report_sources

    if folder and tracker is not None:
        raise ValueError(f"a report must be --from a folder or --from-mlflow, but got both: {folder} and {tracker}")
    if tracker == "":
        raise ValueError("--from-mlflow must be the address of a tracking server or sqlite:///FILE, but is empty")
    if folder:
        page = report_sources.report_folder(folder, out, reference)
    elif tracker is not None:
        page = report_sources.report_tracker(tracker, out, reference)
    else:
        page = reporting.report(read_params(PARAMS), out, reference)
    reporting.print_place(page)


@app.command()
def why(
    cell: Annotated[str, typer.Argument(help="RUN, RUN:METRIC or RUN:METRIC:CATEGORY; or search@KEY.", metavar="CELL")],
    folder: Annotated[Path, typer.Option("--from", help="Folder of the results.")] = Path("runs"),
) -> None:
    """Print a number of the report, and everything that it depends on."""
    from posestages.commands.why import why

    console.print(why(cell, folder), highlight=False, markup=False, soft_wrap=True)


@app.command()
def track() -> None:
    """Write every result and search to the MLflow tracker again, for instance after it was lost.

    Ends with 1 if something could not be written.
    """
    from posebed.params import read_params
    from posestages.commands import mirror
    from posestages.report import read_all

    results, searches = read_all(read_params(PARAMS))
    missing = mirror.track(results, searches)
    tracked_runs, tracked_searches = (sum(item.key not in missing for item in items) for items in (results, searches))
    line = f"{tracked_runs} of {len(results)} runs and {tracked_searches} of {len(searches)} searches tracked"
    not_written = f"; not written: {mirror.listed(missing)}" if missing else ""
    console.print(line + not_written, highlight=False, markup=False, soft_wrap=True)
    if missing:
        raise typer.Exit(1)


def main() -> None:
    """Entry point: mistakes of the user end in one sentence and exit code 2."""
    stage.run(lambda arguments: app(arguments))
