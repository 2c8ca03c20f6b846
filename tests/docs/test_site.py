"""The site, built as ``make site`` builds it, and looked at in a browser."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
BROWSER = os.environ.get("POSEBED_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
LOOKED_AT = ("index.html", "models/kitpose.html", "reference/parameters.html", "reference/python.html")

OUTSIDE = """() => {
  const boxes = [...document.querySelectorAll("rect")].map(rect => rect.getBBox());
  const holds = (b, a) =>
    a.x >= b.x && a.x + a.width <= b.x + b.width && a.y >= b.y && a.y + a.height <= b.y + b.height;
  const texts = [...document.querySelectorAll("text")];
  return texts.filter(text => !boxes.some(box => holds(box, text.getBBox()))).map(text => text.textContent);
}"""
"""Texts that no rectangle holds."""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site. No address outside of this machine can be reached while it is built."""
    out = tmp_path_factory.mktemp("site") / "site"
    dead = "http://127.0.0.1:9"
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "http_proxy": dead, "https_proxy": dead, "no_proxy": ""}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", "docs/site/mkdocs.yml"]
    done = subprocess.run([*command, "--site-dir", str(out)], cwd=CHECKOUT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return out


def _pages(built: Path) -> dict[str, str]:
    return {path.relative_to(built).as_posix(): path.read_text(encoding="utf-8") for path in built.rglob("*.html")}


def test_no_page_loads_anything_from_elsewhere(built: Path):
    for name, text in _pages(built).items():
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"([^\"]*)\"", text)
        loaded += re.findall(r"<link[^>]*\shref=\"([^\"]*)\"", text)
        assert not [address for address in loaded if re.match(r"(?:\w+:)?//", address)], name
    styles = [path.read_text(encoding="utf-8") for path in built.rglob("*.css")]
    assert styles and not any(re.search(r"url\(\"?(?:https?:)?//", style) for style in styles)


def test_every_link_leads_to_a_page_or_file_of_the_site(built: Path):
    for name, text in _pages(built).items():
        if name == "404.html":  # its links start at the top of a server
            continue
        for address in re.findall(r"<(?:a|img)[^>]*\s(?:href|src)=\"([^\"]*)\"", text):
            path = unquote(address.partition("#")[0])
            if path and "://" not in path:
                assert (built / name).parent.joinpath(path).exists(), (name, address)


def test_nothing_generated_is_left_out(built: Path):
    pages = _pages(built)
    assert not [name for name, text in pages.items() if "generated:" in text]
    assert "checkpoint_seconds" in pages["reference/parameters.html"]
    assert "import-checkpoint" in pages["reference/commands.html"]
    assert "Find one pose in every box" in pages["reference/python.html"]
    assert "kitpose-e2c4-w32-ap10k" in pages["models/kitpose.html"]
    assert "figures.yaml" not in {path.name for path in built.rglob("*")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if BROWSER is None:
        pytest.skip("needs Chromium on the path or in POSEBED_CHROMIUM")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_phone_and_a_desktop_and_ask_for_nothing_outside(
    built: Path, browser: Browser, width: int, scheme: Literal["light", "dark"]
):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in LOOKED_AT:
        page.goto((built / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)"), name
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light"), background
    page.close()
    assert asked and all(url.startswith(("file:", "data:", "blob:")) for url in asked)


def test_no_text_of_a_diagram_leaves_its_box(browser: Browser):
    page = browser.new_page()
    for diagram in sorted((CHECKOUT / "docs/pictures/models").glob("*.svg")):
        page.set_content(diagram.read_text(encoding="utf-8"))
        assert page.evaluate(OUTSIDE) == [], diagram.name
    page.close()


def test_the_search_finds_a_setting(built: Path, browser: Browser):
    """In a browser that asks a server, since a page of a folder may not read the index."""
    handler = partial(QuietHandler, directory=str(built))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        search = page.get_by_placeholder("Search")
        search.click()
        expect(page.locator(".md-search-result__meta")).to_contain_text("Type to start", timeout=60_000)
        search.press_sequentially("checkpoint_seconds")  # the page listens to keys, which fill() does not press
        found = page.locator(".md-search-result__item").first
        expect(found).to_contain_text("checkpoint_seconds", timeout=60_000)
        page.close()
        server.shutdown()
