"""The model card of a published run: ``README.md`` with a front matter that Hugging Face's hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from posebed.contracts import Paper, Task
from posebed.scoring.result import Result, Score


def model_card(about: Mapping[str, Any], paper: Paper | None, result: Result | None) -> str:
    """Of the run that ``run.json`` describes, with its own result if it was scored."""
    parts = [
        f"# {about['key']}",
        _summary(about, paper),
        "## Result",
        _results(result) if result else "This run was not scored.",
        "## Use",
        _use(about),
        "## Skeleton" if about["task"] == Task.CATEGORY_SPECIFIC else "## Categories of the training",
        _categories(about),
        "## Provenance",
        _provenance(about, result),
    ]
    return f"---\n{yaml.safe_dump(_front_matter(about, result), sort_keys=False)}---\n\n" + "\n\n".join(parts) + "\n"


def _front_matter(about: Mapping[str, Any], result: Result | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "library_name": "posebed",
        "pipeline_tag": "keypoint-detection",
        "tags": ["posebed", "pose-estimation", about["model"], about["task"].replace("_", "-")],
    }
    if result:
        metrics = [{"type": score.metric, "name": score.metric, "value": score.value} for score in _told(result)]
        dataset = {"name": about["data"], "type": about["data"], "split": result.protocol.get("part", "test")}
        of = {"task": {"type": "keypoint-detection"}, "dataset": dataset, "metrics": metrics}
        entry["model-index"] = [{"name": about["key"], "results": [of]}]
    return entry


def _summary(about: Mapping[str, Any], paper: Paper | None) -> str:
    height, width = about["size"]
    source = f" ({paper.title}, {paper.year}, {paper.reference})" if paper else ""
    kind = "It finds the keypoints of one skeleton."
    if about["task"] == Task.CATEGORY_AGNOSTIC:
        kind = "It is category-agnostic: it finds the keypoints that annotated support pictures show."
    return (
        f"A `{about['model']}`{source}, trained by posebed on `{about['data']}`. {kind} It takes crops of {height} x "
        f"{width} pixels (height x width) around boxes, padded by a factor of {about['padding']}."
    )


def _told(result: Result) -> list[Score]:
    return [score for score in result.scores if score.column or score.leads] or result.scores


def _results(result: Result) -> str:
    rows = [
        f"| {score.metric} | {score.value:.4g} | [{score.low:.4g}, {score.high:.4g}] | {_over_categories(score)} | "
        f"{score.definition} |"
        for score in _told(result)
    ]
    columns = ("metric", "value", "95 % interval over images", "over categories", "definition")
    heading = f"| {' | '.join(columns)} |\n{'| --- ' * len(columns)}|"
    protocol = "\n".join(f"- {name}: {value}" for name, value in result.protocol.items())
    return "\n".join([heading, *rows]) + f"\n\n{result.queries} queries. Protocol:\n\n{protocol}"


def _over_categories(score: Score) -> str:
    if score.low_categories is None or score.high_categories is None:
        return ""
    return f"[{score.low_categories:.4g}, {score.high_categories:.4g}]"


def _use(about: Mapping[str, Any]) -> str:
    supports = ', supports="shots.json"' if about["task"] == Task.CATEGORY_AGNOSTIC else ""
    return (
        f'```python\nimport posebed\n\nmodel = posebed.load_model("FOLDER")\n'
        f'poses = model.predict("picture.jpg", boxes=[[(x, y, width, height)]]{supports})\n```'
    )


def _categories(about: Mapping[str, Any]) -> str:
    if about["task"] == Task.CATEGORY_AGNOSTIC:
        return ", ".join(category["name"] for category in about["categories"]) or "Not known."
    return ", ".join(about["categories"][0]["keypoints"])


def _provenance(about: Mapping[str, Any], result: Result | None) -> str:
    facts = {"fingerprint": about["fingerprint"], "seed": about["seed"], "preset": about["preset"]}
    facts |= {"starts from": about["init_from"], "imported from": about.get("imported")}
    if result:
        own = result.provenance
        facts |= {
            "commit": own.commit + (" with uncommitted changes" if own.dirty else ""),
            "data": own.data_hash,
            "split": own.split_hash,
            "weights (sha256)": own.checkpoint_hash,
            "software": ", ".join(f"{name} {version}" for name, version in own.software.items()),
            "hardware": own.hardware,
            "created": own.created,
        }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items() if value is not None and value != "")
