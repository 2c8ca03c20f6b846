"""Commands about answers that were made elsewhere: queries, submit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from posestages.terminal import console
from posestages.whole_numbers import whole

app = typer.Typer()
Pack = Annotated[str | None, typer.Option(help="Key of a pack of the split's data; by default its only one.")]
Task = Annotated[
    Literal["category_specific", "category_agnostic"] | None,
    typer.Option(help="By default category_agnostic where the split has episodes."),
]


@app.command()
def queries(
    split: Annotated[str, typer.Argument(help="Key of the split whose test part is asked.")],
    out: Annotated[Path, typer.Option(help="File to write: .json, as in COCO, or .parquet.")] = Path("queries.json"),
    pack: Pack = None,
    task: Task = None,
) -> None:
    """Write the queries of a split and their supports, for those who answer them elsewhere.

    The truth of the queries is not in the file.
    """
    from posestages.commands.submit import write_queries

    number = write_queries(out, split, pack, task)
    console.print(f"{number} queries: {out}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="Answers: .json, as COCO's results, or .parquet.")],
    name: Annotated[str, typer.Option(help="Key under which they stand in the report.")],
    split: Annotated[str, typer.Option(help="Key of the split whose test part is answered.")],
    pack: Pack = None,
    task: Task = None,
    made_by: Annotated[str, typer.Option(help="What made the answers, in words.")] = "",
    paper: Annotated[str, typer.Option(help="Where that is described.")] = "",
    method: Annotated[
        str | None, typer.Option(help="Name that submissions of one method on several splits share.", metavar="KEY")
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(parser=whole(0), help="Supports that the method was shown, if fewer than an episode has."),
    ] = None,
    told: Annotated[
        str,
        typer.Option(
            help="What it knew of a category beside the supports, such as 'keypoint names'; it then has other tables."
        ),
    ] = "",
) -> None:
    """Score answers that were made elsewhere; they stand in the report, marked as submitted.

    Keeps the file in submissions/ and names it in params.yaml, so that `dvc repro` scores it again when data changes.
    """
    from posebed.reporting.compare import headline_of
    from posestages.commands.submit import submit as submit_answers

    about = {"split": split, "pack": pack, "task": task, "method": method, "made_by": made_by, "paper": paper}
    result = submit_answers(file, name, {**about, "shots": shots, "told": told})
    score = headline_of(result)
    line = f"{name}: {score.metric} {score.value:.3f} [{score.low:.3f}, {score.high:.3f}] on {result.queries} queries"
    console.print(line, highlight=False, markup=False, soft_wrap=True)
