"""The written page in a headless browser."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from posebed.reporting.gallery import GalleryPicture, encoded
from posebed.reporting.site import DataProblems, write_report
from posebed.scoring.result import Result
from posebed.scoring.search_result import SearchResult

pytestmark = pytest.mark.slow

BROWSER = os.environ.get("POSEBED_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-component-update",
    "--no-first-run",
)
EVIL = "<script>document.title='taken'</script>"

CONTRASTS = """() => {
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(channel);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "white";
  };
  const found = [];
  for (const e of document.querySelectorAll("main *, header *, footer *")) {
    const words = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!words || e.closest("title") || !e.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(e instanceof SVGElement ? style.fill : style.color), light(behind(e))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.className.baseVal ?? e.className, e.textContent]);
  }
  return found;
}"""


PATIENCE_MS = 180_000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not BROWSER:
        pytest.skip("needs chromium in PATH or POSEBED_CHROMIUM")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture
def site(result: Callable[..., Result], search: Callable[..., SearchResult], tmp_path: Path) -> Path:
    """Two protocols, one of them with a floor, pictures and a run whose name is an attack; and searches."""
    results = [
        result("hrnet-a", 0.71, parameters=28_500_000),
        result("kitpose-with-a-rather-long-name", 0.83, model="kitpose", parameters=31_000_000, gflops=None),
        result(EVIL, 0.5, model="embedded", parameters=3_900_000),
        result("floor", 0.2, model="mean_pose", floor=True, parameters=0, gflops=None, curve=[]),
        result("cape", 0.6, model="capeformer", task="category_agnostic", data="plants", episodes_hash="3" * 64),
    ]
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    gallery = [GalleryPicture("hrnet-a", f"Worst: {n}", b, "3 of 9") for n, b in (("x", encoded(picture)), ("y", jpeg))]
    problems = [DataProblems("animals", 20, 18, {"box outside the image": {"tiger": 2}}, ("A note.",), ("tiger",))]
    failed = {"state": "failed", "validation": None, "failed": f"{EVIL} was found"}
    trials = [
        failed,
        *({"validation": i / 10, "cost": 2.0 + i, "state": "pruned" if i == 3 else "complete"} for i in range(6)),
    ]
    searches = [search("search@a", trials, cost="gflops"), search("search@b", task="category_agnostic")]
    return write_report(results, gallery, problems, tmp_path, searches=searches)


@pytest.fixture
def large(result: Callable[..., Result], tmp_path: Path) -> Path:
    """Five protocols with 20 runs each, and more of everything than stands on the page from the start."""
    results = [
        result(
            f"{model}-{data}-{i}",
            0.9 - 0.01 * i,
            model=model,
            data=data,
            seed=i,
            task="category_agnostic" if shots else "category_specific",
            protocol={"part": "test"} | ({"shots": shots} if shots else {}),
        )
        for data, shots in (("ants", ""), ("bees", ""), ("cats", "1"), ("dogs", "1"), ("dogs", "5"))
        for i in range(10)
        for model in (f"hrnet{shots}", f"fmmp{shots}")
    ]
    return write_report(results, [], [], tmp_path / "large")


@pytest.fixture
def opened(browser: Browser, site: Path) -> Iterator[Callable[..., Page]]:
    """Opens the page, or another; at the end nothing may have been logged or fetched."""
    console: list[str] = []
    contexts: list[BrowserContext] = []
    pages = {site.as_uri()}

    def opened(anchor: str = "", of: Path = site, **settings) -> Page:
        pages.add(of.as_uri())
        contexts.append(browser.new_context(**settings))
        contexts[-1].set_default_timeout(PATIENCE_MS)
        page = contexts[-1].new_page()
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith("data:") else requests.append(r.url))
        page.goto(of.as_uri() + anchor)
        return page

    requests: list[str] = []
    yield opened
    for context in contexts:
        context.close()
    assert console == []
    assert {url.partition("#")[0] for url in requests} <= pages


def leaders(page: Page) -> list[str]:
    return page.locator("table.leaders").first.locator("tbody th").all_inner_texts()


def test_headers_sort_both_ways_by_mouse_and_keyboard(opened: Callable[..., Page]):
    page = opened()
    best_first = leaders(page)
    assert ["kitpose" in best_first[0], "floor" in best_first[-1]] == [True, True]
    header = page.locator("table.leaders th", has_text="PCK@0.2").first
    assert header.get_attribute("aria-sort") == "descending"
    header.get_by_role("button").click()
    assert leaders(page) == best_first[::-1] and header.get_attribute("aria-sort") == "ascending"
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert leaders(page) == best_first and header.get_attribute("aria-sort") == "descending"


def test_sorting_by_another_column_takes_the_mark_with_it(opened: Callable[..., Page]):
    page = opened()
    table = page.locator("table.leaders").first
    table.get_by_role("button", name="Parameters").click()
    assert leaders(page)[0].split()[1] == "floor"
    assert table.locator("[aria-sort=ascending], [aria-sort=descending]").all_inner_texts() == ["Parameters"]


def test_runs_without_a_value_stay_last_whichever_way(opened: Callable[..., Page]):
    page = opened()
    button = page.locator("table.leaders").first.get_by_role("button", name="GFLOPs")
    for _ in range(2):
        button.click()
        assert {name.split()[1] for name in leaders(page)[-2:]} == {"floor", "kitpose-with-a-rather-long-name"}


def test_pictures_load_and_say_what_they_show(opened: Callable[..., Page]):
    page = opened()
    pictures = page.locator("main img")
    assert pictures.count() == 2
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        page.wait_for_function("image => image.naturalWidth > 0", arg=picture.element_handle())
        expect(picture).to_have_attribute("alt", re.compile(r"^Worst: [xy]\. 3 of 9$"))
        expect(picture).to_have_attribute("loading", "lazy")


def test_a_run_opens_its_provenance(opened: Callable[..., Page]):
    page = opened()
    details = page.locator("details.run", has_text="hrnet-a").first
    assert details.get_attribute("open") is None
    page.locator("table.leaders a", has_text="hrnet-a").first.click()
    expect(details.get_by_text("c" * 40)).to_be_visible()
    details.locator("summary").click()
    expect(details.get_by_text("c" * 40)).to_be_hidden()


def test_an_address_of_a_run_opens_it(opened: Callable[..., Page]):
    page = opened("#run-0")
    expect(page.locator("#run-0 h3").first).to_be_visible()


def test_a_search_opens_from_its_name_and_its_trials_sort(opened: Callable[..., Page]):
    page = opened()
    page.locator("table.leaders a", has_text="search@a").click()
    trials = page.get_by_role("region", name="Trials of search@a").locator("tbody th")
    assert trials.all_inner_texts() == ["6", "5", "3", "2", "1", "4", "0 own setting"]
    page.get_by_role("region", name="Trials of search@a").get_by_role("button", name="Validation").click()
    assert trials.all_inner_texts() == ["1", "2", "3", "4", "5", "6", "0 own setting"]


def test_markup_in_a_name_is_shown_as_text(opened: Callable[..., Page]):
    page = opened()
    assert page.title() == "Pose estimation benchmark"
    assert any(EVIL in name for name in leaders(page))


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_never_scrolls_sideways(opened: Callable[..., Page], width: int):
    page = opened(viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_readable_contrast(opened: Callable[..., Page], scheme: str):
    page = opened(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(c) for c in background.strip("rgb()").split(",")) < 3 * 128
    assert dark == (scheme == "dark")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert [c for c in contrasts if c[0] < 4.5] == []


def test_tables_and_figures_are_named_for_screen_readers(opened: Callable[..., Page]):
    page = opened()
    assert page.locator("main, header, nav, footer").count() == 4
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("th:not([scope])").count() == 0
    assert page.locator("svg:not([role=img][aria-label])").count() == 0
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in pairwise(levels))


def test_the_whole_page_can_be_walked_by_keyboard(opened: Callable[..., Page]):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the tables"
    page.locator("details.run summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.run").first.get_attribute("open") is not None


def test_pictures_keep_their_room_before_they_load(opened: Callable[..., Page]):
    page = opened(viewport={"width": 390, "height": 800})
    before = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate("document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })")
    for picture in page.locator("main img").all():
        page.wait_for_function("image => image.complete", arg=picture.element_handle())
    assert page.evaluate("document.documentElement.scrollHeight") == before


def visible(page: Page, selector: str) -> list[str]:
    """Texts of what is not hidden, near or far."""
    return [e.text_content() or "" for e in page.locator(selector).all() if e.is_visible()]


def test_filters_work_by_keyboard(opened: Callable[..., Page], large: Path):
    page = opened(of=large)
    assert len(visible(page, "section.protocol h2")) == 5
    page.get_by_role("combobox", name="Shots").focus()
    page.keyboard.press("ArrowDown")
    assert set(visible(page, "section.protocol h2 span")) == {"cats", "dogs"}
    expect(page.locator(".filters [role=status]")).to_have_text("40 runs under 2 of 5 protocols.")
    page.get_by_role("combobox", name="Data").focus()
    page.keyboard.type("dogs")
    assert len(visible(page, "section.protocol h2")) == 1
    assert len(visible(page, "nav a[href^='#protocol']")) == 1
    page.get_by_role("button", name="Show all").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".filters [role=status]")).to_have_text("100 runs under 5 of 5 protocols.")


@pytest.mark.parametrize(
    ("label", "choice", "protocols"),
    [
        ("Data", "dogs", 2),
        ("Protocol", "ants, split by-image, category-specific", 1),
        ("Family", "category-agnostic", 3),
    ],
)
def test_every_filter_leaves_what_it_names(
    opened: Callable[..., Page], large: Path, label: str, choice: str, protocols: int
):
    page = opened(of=large)
    page.get_by_role("combobox", name=label).select_option(choice)
    assert len(visible(page, "section.protocol h2")) == protocols


def test_a_model_is_found_in_rows_that_were_held_back(opened: Callable[..., Page], large: Path):
    page = opened(of=large)
    assert len(leaders(page)) == 12
    page.get_by_role("combobox", name="Model").select_option("fmmp")
    assert [name.split()[1] for name in leaders(page)] == [f"fmmp-ants-{i}" for i in range(10)]
    assert {name.split("-")[0] for name in visible(page, "details.run summary b")} == {"fmmp"}


def test_sorting_takes_rows_that_were_held_back_into_account(opened: Callable[..., Page], large: Path):
    page = opened(of=large)
    page.locator("table.leaders").first.get_by_role("button", name="PCK@0.2").click()
    assert leaders(page)[0].endswith("ants-9") and len(leaders(page)) == 12
    page.get_by_role("button", name="Show more").first.click()
    assert len(leaders(page)) == 20 and leaders(page)[-1].endswith("ants-0")


def test_every_number_of_a_row_leads_to_its_line_by_keyboard(opened: Callable[..., Page], large: Path):
    page = opened(of=large)
    row = page.locator("table.leaders").nth(4).locator("tbody tr").nth(3)
    run = (row.locator("th").text_content() or "").split()[1]
    assert row.locator("td a").count() == row.locator("td:not(.text)").count() - 1, "all but a floor that did not run"
    row.locator("td a", has_text=re.compile("^0.100$")).focus()
    page.keyboard.press("Enter")
    rows = page.locator("tr.asked")
    expect(rows).to_be_visible()
    expect(rows.locator("th")).to_have_text("NME")
    entry = page.locator("details.run", has=rows)
    assert entry.locator("summary b").text_content() == run
    expect(entry.get_by_text("c" * 40)).to_be_visible()
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    page.keyboard.press("Enter")
    expect(rows).to_be_hidden()


def test_a_filter_does_not_hide_the_run_that_a_link_names(opened: Callable[..., Page], large: Path):
    page = opened(of=large)
    page.get_by_role("combobox", name="Data").select_option("ants")
    page.evaluate("location.hash = 'run-99-cost'")
    expect(page.locator("div.asked", has_text="parameters")).to_be_visible()


def test_figures_that_were_held_back_come_when_a_reader_does(opened: Callable[..., Page], large: Path):
    page = opened(of=large)
    last = page.locator("section.protocol").last
    assert last.locator("svg").count() == 0
    last.locator("table.leaders").scroll_into_view_if_needed()
    expect(last.locator("svg").first).to_be_visible()
    last.locator("table.heat").first.get_by_role("button", name="Category").click()
    assert last.locator("table.heat tbody th").first.inner_text() == "bee"


def test_without_scripts_the_best_runs_and_their_numbers_are_there(opened: Callable[..., Page], large: Path):
    page = opened(of=large, java_script_enabled=False)
    assert len(leaders(page)) == 12
    expect(page.locator("table.leaders td b").first).to_have_text("0.900")
    expect(page.locator(".filters")).to_be_hidden()
    expect(page.get_by_text("The best 12 of 20 runs.").first).to_be_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_a_large_page_never_scrolls_sideways(opened: Callable[..., Page], large: Path, width: int):
    page = opened(of=large, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_everything_that_takes_the_focus_has_a_name(opened: Callable[..., Page], large: Path):
    page = opened(of=large)
    unnamed = page.evaluate("""() => [...document.querySelectorAll("a, button, select, summary, [tabindex]")].filter(
      (e) => !(e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent).trim()).length""")
    assert unnamed == 0
    assert page.locator("select").count() == page.locator("label select").count() == 5


@pytest.fixture
def seeded(result: Callable[..., Result], several: Callable[..., Result], tmp_path: Path) -> Path:
    """Runs of several seeds and of one."""
    runs = [several("many-seeds-and-a-long-name", [0.71, 0.74, 0.68]), several("two", [0.5, 0.9]), result("one", 0.6)]
    return write_report(runs, [], [], tmp_path / "seeded")


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("width", [390, 1280])
def test_members_of_a_run_open_in_its_row_at_any_width_with_and_without_scripts(
    opened: Callable[..., Page], seeded: Path, width: int, scripts: bool
):
    page = opened(of=seeded, viewport={"width": width, "height": 800}, java_script_enabled=scripts)
    row = page.locator("table.leaders tbody tr").first
    value = row.get_by_text("0.740", exact=True)
    expect(value).to_be_hidden()
    row.get_by_text("3 seeds").click()
    expect(value).to_be_visible()
    box = value.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] < 30, "in one line"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("details.seeds").count() == 2


def test_members_stay_open_while_rows_are_sorted_and_are_reached_by_keyboard(opened: Callable[..., Page], seeded: Path):
    page = opened(of=seeded)
    summary = page.locator("details.seeds summary").first
    summary.focus()
    page.keyboard.press("Enter")
    page.locator("table.leaders").get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_text("0.740", exact=True)).to_be_visible()


@pytest.fixture
def methods(several: Callable[..., Result], tmp_path: Path) -> Path:
    """Two methods, one of them the floor, over held-out categories, and a learning curve."""
    agnostic = {"task": "category_agnostic"}
    folds = [
        several(
            f"{method}-with-a-long-name-{place}",
            [value, value + 0.02],
            method=method,
            floor=method == "floor",
            split=f"without-{place}",
            episodes_hash=str(place),
            by_category={f"animal{place}": {"PCK@0.2": value}},
            protocol={"shots": "1"},
            **agnostic,
        )
        for method, value in (("good", 0.7), ("floor", 0.4))
        for place in range(8)
    ]
    curve = [
        several(f"fmmp-{n}shot", [0.5 + n / 30] * 2, method="fmmp", protocol={"shots": str(n)}, **agnostic)
        for n in (1, 3, 10)
    ]
    return write_report([*folds, *curve], [], [], tmp_path / "methods")


@pytest.mark.parametrize("width", [390, 1280])
def test_methods_and_curves_fit_the_screen(opened: Callable[..., Page], methods: Path, width: int):
    page = opened(of=methods, viewport={"width": width, "height": 800})
    for section in ("#held-out-1", "#curves"):
        page.locator(section).scroll_into_view_if_needed()
        expect(page.locator(section)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("#curves svg").get_attribute("aria-label")
    page.locator("#curves td a").first.click()
    expect(page.locator("details.run[open]")).to_have_count(1)
