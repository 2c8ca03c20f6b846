"""What every dataset keeps to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from posebed.catalog import installed
from posebed.contracts import DatasetSpec
from posebed.records import Dataset, read_categories, read_records, write_categories, write_records


class DatasetSuite:
    """Tests of the contract; a subclass whose name begins with ``Test`` is collected by pytest."""

    dataset: ClassVar[str] = ""
    """Its name in the catalog."""
    options: ClassVar[Mapping[str, Any]] = {}
    """To read the example with."""

    def write_example(self, folder: Path) -> None:
        """Write a small, sound dataset of at least two records into an empty folder."""
        raise NotImplementedError

    @pytest.fixture
    def example(self, tmp_path: Path) -> Path:
        self.write_example(tmp_path)
        return tmp_path

    @property
    def spec(self) -> DatasetSpec:
        return installed().dataset(self.dataset)

    def read(self, path: Path) -> Dataset:
        return self.spec.read(self.spec.options.model_validate(self.options), path)

    def test_the_example_is_sound(self, example: Path) -> None:
        dataset = self.read(example)
        assert not dataset.problems, dataset.problems
        assert len(dataset.records) >= 2 and dataset.checked == len(dataset.records)
        assert len({record.record for record in dataset.records}) == len(dataset.records)

    def test_records_are_of_its_categories_and_lie_in_pictures_that_are_there(self, example: Path) -> None:
        dataset = self.read(example)
        categories = {category.key: category for category in dataset.categories}
        assert len(categories) == len(dataset.categories)
        for record in dataset.records:
            x, y, width, height = record.box
            assert record.keypoints.shape == (len(categories[record.category].keypoints), 3)
            assert {*record.keypoints[:, 2]} <= {0, 1, 2}
            assert width > 0 and height > 0, "a box has an extent"
            assert -width < x < record.width and -height < y < record.height, "a part of it lies in the picture"
            assert record.image in dataset.hashes

    def test_reading_twice_gives_the_same(self, example: Path) -> None:
        assert same(self.read(example), self.read(example))

    def test_records_and_categories_survive_their_files(self, example: Path, tmp_path: Path) -> None:
        dataset = self.read(example)
        out = tmp_path / "prepared"
        out.mkdir()
        write_records(dataset.records, out / "records.parquet")
        write_categories(dataset.categories, out / "categories.json")
        assert read_categories(out / "categories.json") == dataset.categories
        for record, other in zip(dataset.records, read_records(out / "records.parquet"), strict=True):
            assert np.array_equal(record.keypoints.astype(np.float32), other.keypoints)
            assert record.box == other.box and record.image == other.image and record.record == other.record

    def test_a_picture_that_is_gone_is_told_with_its_record(self, example: Path) -> None:
        dataset = self.read(example)
        image = dataset.records[0].image
        (dataset.root / image).unlink()
        after = self.read(example)
        assert len(after.records) < len(dataset.records)
        assert any(problem.record and problem.found for problem in after.problems)

    def test_damaged_annotations_are_told_and_raise_nothing_else(self, example: Path) -> None:
        pictures = {(self.read(example).root / record.image).resolve() for record in self.read(example).records}
        files = [path for path in example.rglob("*") if path.is_file() and path.resolve() not in pictures]
        assert files, "the example must have a file of annotations"
        for path in files:
            whole = path.read_bytes()
            for damaged in (b"", b"[]", b"{}", b"null", whole[: len(whole) // 2], b"\xff" * 64):
                path.write_bytes(damaged)
                self.told(example)
            path.write_bytes(whole)

    def test_a_folder_without_it_is_told(self, tmp_path: Path) -> None:
        self.told(tmp_path)

    def test_an_option_that_it_does_not_know_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.spec.options.model_validate({**self.options, "no_such_option": 1})

    def told(self, path: Path) -> None:
        """Reading gives problems, or ends with a sentence."""
        try:
            dataset = self.read(path)
        except (ValueError, LookupError) as error:
            assert str(error).strip() and not isinstance(error, KeyError | IndexError)
            return
        assert dataset.problems or not dataset.records


def same(one: Dataset, other: Dataset) -> bool:
    return one.categories == other.categories and all(
        a.record == b.record and a.box == b.box and np.array_equal(a.keypoints, b.keypoints)
        for a, b in zip(one.records, other.records, strict=True)
    )
