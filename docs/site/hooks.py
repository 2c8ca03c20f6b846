"""What mkdocs does beside its own work: it adds the pages that lie outside of docs/, turns links between files of the
repository into links between pages, and fills in the generated parts of pages.

A generated part stands between two comments, with what a code host shows in its place:

    <!--generated:parameters-->See `platform/posebed/config.py`.<!--/generated-->
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import model_parts
import parameters
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "cluster/README.md": "cluster.md",
}
"""Files outside of docs/ and the pages that they become."""
PARTS: dict[str, Callable[..., str]] = {
    "parameters": parameters.page,
    "commands": commands.page,
    "model": model_parts.model_part,
    "paper": model_parts.paper,
    "models": model_parts.overview,
}
GENERATED = re.compile(r"<!--generated:([\w ]+)-->.*?<!--/generated-->", re.DOTALL)
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: Any) -> Files:
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    source = os.path.relpath(page.file.abs_src_path or "", ROOT)
    return GENERATED.sub(_part, with_links(markdown, source, page.file.src_uri, {file.src_uri for file in files}))


def _part(match: re.Match[str]) -> str:
    name, *arguments = match[1].split()
    return PARTS[name](*arguments)


def with_links(markdown: str, source: str, page: str, known: set[str]) -> str:
    """The text of a file of the repository as a page of the site: links to its other pages, and the bare text of links
    to files that the site does not hold."""

    def linked(match: re.Match[str]) -> str:
        picture, text, target = match.groups()
        path, hash_sign, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        to = OUTSIDE.get(file, file.removeprefix("docs/"))
        if to not in known:
            return text
        return f"{picture}[{text}]({posixpath.relpath(to, posixpath.dirname(page) or '.')}{hash_sign}{anchor})"

    # Code is put aside, since what looks like a link in it is none. The text of a link may hold code.
    code: list[str] = []

    def hidden(match: re.Match[str]) -> str:
        code.append(match[0])
        return f"\0{len(code) - 1}\0"

    text = LINK.sub(linked, CODE.sub(hidden, markdown))
    return re.sub(r"\0(\d+)\0", lambda match: code[int(match[1])], text)
