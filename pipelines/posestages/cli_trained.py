"""Commands that use a trained run: predict, export, publish, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from posebed.listing import counted
from posestages.terminal import console
from posestages.whole_numbers import whole

app = typer.Typer()
Run = Annotated[str, typer.Argument(help="Trained run, by key or folder.")]
Support = Annotated[
    Path | None,
    typer.Option(help="For a category-agnostic model: annotated pictures of what to look for, COCO JSON or a folder."),
]
SupportCategory = Annotated[str | None, typer.Option("--category", help="Category of --support, if it has several.")]


@app.command()
def predict(
    run: Run,
    images: Annotated[list[Path], typer.Argument(help="Pictures, or films.")],
    boxes: Annotated[
        Path | None, typer.Option(help="COCO JSON with boxes; by default each picture or frame is one box.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.", file_okay=False)] = Path("poses"),
    every: Annotated[int, typer.Option(parser=whole(1), help="Films: look at every nth frame.")] = 1,
    draw: Annotated[bool, typer.Option("--draw", help="Films: also write a film with the poses drawn.")] = False,
    slp: Annotated[
        bool, typer.Option("--slp", help="Films: also write a SLEAP file, in which poses can be corrected.")
    ] = False,
    support: Support = None,
    category: SupportCategory = None,
) -> None:
    """Find poses in pictures or films.

    Writes COCO keypoints and drawn pictures; for a film, also a table. The same command resumes an interrupted film.
    """
    from posebed.data.film import is_film
    from posestages.commands.films import predict_film
    from posestages.commands.pictures import predict_pictures

    films = [path for path in images if is_film(path.name)]
    if not films:
        if every > 1 or draw or slp:
            raise ValueError("--every, --draw and --slp must be given with a film, but there are pictures alone")
        count = predict_pictures(run, images, boxes, out, support, category)
        console.print(f"{counted(count, 'pose')}: {out / 'poses.json'} and a picture of each image", highlight=False)
        return
    if len(films) != len(images) or len({film.stem for film in films}) != len(films):
        raise ValueError("films must be given alone and have names that differ, but they or pictures are mixed")
    for film in films:
        found = predict_film(run, film, boxes, out, every, draw, slp, support, category)
        of = f"{counted(found.poses, 'pose')} in {counted(found.frames, 'frame')}"
        line = f"{film}: {of}: {found.table}"
        console.print("\n".join([line, *found.notes]), highlight=False, markup=False, soft_wrap=True)


@app.command()
def export(
    run: Run,
    to: Annotated[Literal["onnx", "torch"], typer.Option(help="ONNX, or torch's .pt2.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option(help="File to write; two graphs get `-support` and `-query` before the ending.")
    ] = None,
    picture: Annotated[
        list[Path] | None, typer.Option(help="Check on this picture instead of crops of the run; repeatable.")
    ] = None,
    support: Support = None,
    category: SupportCategory = None,
    check: Annotated[
        list[Path] | None, typer.Option(help="Compare this ONNX file with the run and write nothing; repeatable.")
    ] = None,
) -> None:
    """Write a run as a file that runs without posebed, checked against the model."""
    from posestages.commands import export as exporting

    given = exporting.Given(picture or (), support, category)
    lines = exporting.check(run, check, given) if check else exporting.export(run, to, out, given)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command()
def publish(
    run: Run,
    folder: Annotated[Path, typer.Argument(help="Folder to write: new or empty.")],
) -> None:
    """Write a run as a folder for Hugging Face's hub: model card, weights and settings. Uploads nothing."""
    from posestages.commands.publish import publish

    console.print(f"Written {publish(run, folder)}: {folder}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def inspect(
    run: Run,
    images: Annotated[list[Path], typer.Argument(help="Pictures.")],
    boxes: Annotated[Path | None, typer.Option(help="COCO JSON with boxes; by default each picture is a box.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the drawn maps.", file_okay=False)] = Path("maps"),
    support: Support = None,
    category: SupportCategory = None,
) -> None:
    """Draw intermediate results of a model: score maps, body parts, attention."""
    from posestages.commands.inspection import inspect_pictures

    written = inspect_pictures(run, images, boxes, out, support, category)
    console.print(f"{len(written)} pictures in {out}", highlight=False)
