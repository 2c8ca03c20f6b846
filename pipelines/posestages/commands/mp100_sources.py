"""The 13 datasets that the pictures of MP-100 come from: which of its folders each fills, where to get it, and how its
files are told from those of another dataset, as names such as ``000000000285.jpg`` occur in several.

Which folder is of which dataset, and the pages, are as in mp100/README.md of github.com/luminxu/Pose-for-Everything;
that of DeepFashion2 as corrected in README.md of github.com/orhir/PoseAnything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GUIDE = "https://github.com/luminxu/Pose-for-Everything/blob/main/mp100/README.md"
"""Says where to get the annotation files and what each folder holds."""
CITED = f"{GUIDE}, of DeepFashion2 that of https://github.com/orhir/PoseAnything/blob/main/README.md"
"""Where the addresses of the sources stand."""


@dataclass(frozen=True)
class Source:
    """A dataset whose pictures users download."""

    key: str
    """As the command line names it."""
    title: str
    page: str
    """Where to get it."""
    folders: tuple[str, ...]
    """Of MP-100, the first parts of ``file_name``."""
    mark: str
    """Regular expression of a folder's name in small letters that shows its files to be of this dataset."""
    distinctive: bool = True
    """The names of its files alone, with the folders that ``file_name`` states, show it too."""
    by_category: bool = False
    """A file counts only below a folder of the name that MP-100 gives it: others hold files of the same name."""
    without: frozenset[str] = frozenset()
    """Folders of it that hold other pictures of the same names."""
    hint: str = ""
    """One sentence on what to download or to expect."""


_CLOTHES = (
    *("long_sleeved_dress", "long_sleeved_outwear", "long_sleeved_shirt", "short_sleeved_dress"),
    *("short_sleeved_outwear", "short_sleeved_shirt", "shorts", "skirt", "sling", "sling_dress", "trousers", "vest"),
    "vest_dress",
)
_MAMMALS = (
    *("antelope", "beaver", "bison", "bobcat", "cat", "cheetah", "cow", "deer", "dog", "elephant", "fox", "giraffe"),
    *("gorilla", "hamster", "hippo", "horse", "leopard", "lion", "otter", "panda", "panther", "pig", "polar_bear"),
    *("rabbit", "raccoon", "rat", "rhino", "sheep", "skunk", "spider_monkey", "squirrel", "weasel", "wolf", "zebra"),
)
_BIRDS = ("grebe", "gull", "kingfisher", "sparrow", "tern", "warbler", "woodpecker", "wren")
_FACES = (
    *("alpaca", "arcticwolf", "bighornsheep", "blackbuck", "bonobo", "californiansealion", "camel", "capebuffalo"),
    *("capybara", "chipmunk", "commonwarthog", "dassie", "fallowdeer", "fennecfox", "ferret", "gentoopenguin"),
    *("gerbil", "germanshepherddog", "gibbons", "goldenretriever", "greyseal", "grizzlybear", "guanaco"),
    *("klipspringer", "olivebaboon", "onager", "pademelon", "proboscismonkey", "przewalskihorse", "quokka"),
)
_FRAMES = (
    "It holds frames in HDF5 files; as numbered pictures they are linked from docs/en/dataset_zoo/"
    "2d_animal_keypoint.md of github.com/open-mmlab/mmpose."
)

SOURCES = (
    Source(
        "coco",
        "COCO",
        "http://cocodataset.org/",
        ("human_body",),
        r"(ms)?coco.*|(train|val|test)2017",
        distinctive=False,
        hint="Its names are those of train2017 and val2017.",
    ),
    Source("300w", "300W", "https://ibug.doc.ic.ac.uk/resources/300-W/", ("human_face",), r"300-?_?w.*|ibug.*"),
    Source(
        "aflw",
        "AFLW",
        "https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/aflw/",
        ("amur_tiger_body",),
        r"aflw.*",
        hint="MP-100 calls the folder of these human faces amur_tiger_body.",
    ),
    Source(
        "onehand10k",
        "OneHand10K",
        "https://www.yangangwang.com/papers/WANG-MCC-2018-10.html",
        ("human_hand",),
        r"one-?_?hand.*",
    ),
    Source(
        "deepfashion2",
        "DeepFashion2",
        "https://github.com/switchablenorms/DeepFashion2",
        _CLOTHES,
        r"deep-?_?fashion.*",
        distinctive=False,
        without=frozenset({"validation", "test"}),
        hint="Its folder train/image is needed; the guide of MP-100 links DeepFashion, which is another dataset.",
    ),
    Source(
        "ap10k",
        "AP-10K",
        "https://github.com/AlexTheBad/AP-10K",
        tuple(f"{name}_body" for name in _MAMMALS),
        r"ap-?_?10k.*",
        distinctive=False,
    ),
    Source(
        "macaquepose",
        "MacaquePose",
        "http://www.pri.kyoto-u.ac.jp/datasets/macaquepose/index.html",
        ("macaque_body",),
        r"macaque.*",
    ),
    Source(
        "fly",
        "Vinegar Fly",
        "https://github.com/jgraving/DeepPoseKit-Data",
        ("fly_body",),
        r"(vinegar)?-?_?fly.*",
        distinctive=False,
        hint=_FRAMES,
    ),
    Source(
        "locust",
        "Desert Locust",
        "https://github.com/jgraving/DeepPoseKit-Data",
        ("locust_body",),
        r"(desert)?-?_?locust.*",
        distinctive=False,
        hint=_FRAMES,
    ),
    Source(
        "cub200",
        "CUB-200",
        "http://www.vision.caltech.edu/datasets/cub_200_2011/",
        tuple(f"{name}_body" for name in _BIRDS),
        r"cub-?_?200.*",
    ),
    Source(
        "carfusion",
        "CarFusion",
        "http://www.cs.cmu.edu/~ILIM/projects/IM/CarFusion/cvpr2018/index.html",
        ("bus", "car", "suv"),
        r"car-?_?fusion.*",
        distinctive=False,
        by_category=True,
        hint="Keep its folders gt beside those of the pictures: they say which picture is which.",
    ),
    Source(
        "animalweb",
        "AnimalWeb",
        "https://fdmaproject.wordpress.com/author/fdmaproject/",
        tuple(f"{name}_face" for name in _FACES),
        r"animal-?_?web.*",
    ),
    Source(
        "keypoint5",
        "Keypoint-5",
        "https://github.com/jiajunwu/3dinn",
        ("bed", "chair", "sofa", "swivelchair", "table"),
        r"keypoint-?_?5.*|3dinn.*",
        distinctive=False,
        by_category=True,
    ),
)

UNKNOWN = Source("unknown", "none of the 13", GUIDE, (), r"(?!)", distinctive=False)
"""Of pictures in folders that MP-100 does not have."""

BY_KEY = {source.key: source for source in SOURCES}
_BY_FOLDER = {folder: source for source in SOURCES for folder in source.folders}


def source_of(folder: str) -> Source:
    """The dataset that fills a folder of MP-100."""
    return _BY_FOLDER.get(folder, UNKNOWN)


def recognised(folders: tuple[str, ...]) -> str | None:
    """The key of the dataset that the names of a file's folders, from the top, show it to be of; the lowest counts."""
    for folder in reversed(folders):
        for source in SOURCES:
            if re.fullmatch(source.mark, folder.lower()):
                return source.key
    return None
