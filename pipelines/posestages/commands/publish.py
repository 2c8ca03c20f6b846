"""A trained run as a folder in the layout of Hugging Face's hub."""

from __future__ import annotations

from pathlib import Path

from posebed.files import write_text, writing_folder
from posebed.scoring.result import RESULT_FILE, read_result
from posestages.commands.members import member_of
from posestages.stage import catalog_here


def publish(run: str, out: Path) -> str:
    """Write ``README.md``, ``config.json``, ``model.safetensors`` and ``curve.json``, and return in a sentence what
    the card says of the run's result.

    Raises:
        LookupError: there is no such run.
        ValueError: ``out`` is there and not empty.
    """
    from posebed.export.model_card import model_card
    from posebed.training.run_folder import read_about, write_published

    source = member_of(run)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} must be a new or empty folder, but is there; remove it, or choose another name")
    about = read_about(source)
    scored = source.parent / RESULT_FILE
    result = read_result(scored) if scored.is_file() else None
    with writing_folder(out) as unfinished:
        write_published(source, unfinished)
        write_text(model_card(about, catalog_here().model(about["model"]).paper, result), unfinished / "README.md")
    return "with its result" if result else "without a result, as the run was not scored"
