from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from posebed.contracts import Claim
from posebed.reporting.formats import amount, data_uri, duration, flat, signed
from posebed.reporting.gallery import GalleryPicture
from posebed.reporting.site import DataProblems, write_report
from posebed.scoring.result import Result

Make = Callable[..., Result]


def written(folder: Path, results: list[Result], **parts) -> str:
    gallery, problems = parts.pop("gallery", []), parts.pop("problems", [])
    return write_report(results, gallery, problems, folder, **parts).read_text(encoding="utf-8")


def test_what_comes_from_results_is_text_and_never_markup(result: Make, tmp_path: Path):
    evil = "<script>alert(1)</script>"
    run = result(evil, model=evil, data=evil, by_category={evil: {"PCK@0.2": 0.5}}, config={evil: evil}, hardware=evil)
    problems = [DataProblems(evil, 1, 0, {evil: {evil: 1}}, (evil,), (evil,))]
    page = written(tmp_path, [run], problems=problems, title=evil)
    assert page.count("<script>") == 1, "the page's own"
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_page_names_nothing_outside_itself(result: Make, tmp_path: Path):
    page = written(tmp_path, [result("a"), result("b", 0.5)])
    assert not re.search(r"https?://|@import|url\(", page)
    linked = set(re.findall(r'href="([^#"]+)"', page)) - {"data:,"}
    there = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert linked == there - {"index.html"}, "what the page names lies beside it, and nothing lies there unnamed"


class _Ids(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name == "href" and value and value.startswith("#"):
                self.targets.add(value[1:])


def test_every_inner_link_has_its_one_target(result: Make, tmp_path: Path):
    page = _Ids()
    page.feed(written(tmp_path, [result("a"), result("b", split="other"), result("c", data="plants")]))
    assert len(page.ids) == len(set(page.ids))
    assert page.targets <= set(page.ids)


def test_the_same_results_make_the_same_page(result: Make, tmp_path: Path):
    runs = [result("a"), result("b", 0.5)]
    assert written(tmp_path / "1", runs) == written(tmp_path / "2", runs)


def test_provenance_shows_every_field(result: Make, tmp_path: Path):
    run = result("a", episodes_hash="9" * 64, seed=17, answered={"flip test": "shifted by one"})
    page = written(tmp_path, [run])
    from_ = run.provenance
    for value in (
        *from_.model_dump().values(),
        run.fingerprint,
        run.cost.device,
        *run.protocol.values(),
        *run.answered.values(),
    ):
        if isinstance(value, str):
            assert value in page
    assert "with uncommitted changes" in page
    for text in ("head.layers", "augment.flip", "<dd>17</dd>", "What NME is."):
        assert text in page


def test_published_numbers_stand_with_the_run_that_repeats_them_alone(result: Make, tmp_path: Path):
    claims = (Claim("COCO", "val", "256x192", "AP", 74.4, "Table 1"),)
    page = written(tmp_path, [result("a"), result("b")], published={"a": claims})
    assert page.count("Published for the setting") == 1 and "74.4" in page
    leaders = page[page.index('class="leaders"') : page.index("</table>")]
    assert "74.4" not in leaders


def test_problems_are_counted_by_reason_and_category(result: Make, tmp_path: Path):
    dropped = {"box outside the image": {"tiger": 3, "": 2}}
    page = written(tmp_path, [result("a")], problems=[DataProblems("animals", 1005, 1000, dropped, (), ("tiger",))])
    assert "1,005 annotations checked, 1,000 kept, 5 dropped." in page
    row = page[page.index("box outside the image") :]
    assert "<td>5</td>" in row and "tiger 3, whole file 2" in row
    assert "default sigma of 0.05 for tiger" in page


def test_clean_data_says_that_none_was_dropped(result: Make, tmp_path: Path):
    page = written(tmp_path, [result("a")], problems=[DataProblems("animals", 7, 7)])
    assert "7 annotations checked, 7 kept, none dropped." in page


def test_without_results_there_is_still_a_page(tmp_path: Path):
    assert "No run has a result yet." in written(tmp_path, [])


def test_a_key_may_have_one_result_only(result: Make, tmp_path: Path):
    with pytest.raises(ValueError, match="several of a"):
        written(tmp_path, [result("a"), result("a", 0.2)])


def test_a_picture_needs_a_run_with_a_result(result: Make, tmp_path: Path):
    with pytest.raises(ValueError, match=r"some are of b; there is a"):
        written(tmp_path, [result("a")], gallery=[GalleryPicture("b", "t", b"RIFF")])


def test_a_picture_must_be_one():
    with pytest.raises(ValueError, match="JPEG, PNG or WebP"):
        data_uri(b"GIF8")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (amount(28_500_000), "28.5 M"),
        (amount(0), "0"),
        (amount(999), "999"),
        (amount(1_000), "1 k"),
        (amount(None), "–"),
        (amount(0.0123), "0.0123"),
        (duration(0.84), "0.84 s"),
        (duration(59.7), "1 min 0 s"),
        (duration(3600 * 27 + 61), "27 h 1 min"),
        (signed(-0.25), "−0.250"),
        (signed(0.5), "+0.500"),
        (flat({"a": {"b": {"c": 1}, "d": None}}), [("a.b.c", "1"), ("a.d", "None")]),
    ],
)
def test_numbers_are_formatted_as_people_read_them(value: object, expected: object):
    assert value == expected
