"""How large the data of users may be. Each limit lies far above real data, is checked before memory is taken, and is
named in the sentence that refuses what exceeds it."""

from __future__ import annotations

MOST_PIXELS = 160_000_000
"""Of a picture. Single shots of the largest cameras have 151 million; as RGB these are 480 MB."""
MOST_SIDE = 2**20
"""Pixels of a picture's width or height, which OpenCV decodes at most."""
MOST_PICTURE_BYTES = 2**29
"""Of a picture's file, also unpacked from a zip file: uncompressed pictures of ``MOST_PIXELS`` fit."""
MOST_SCANS = 100
"""Of a JPEG, each of which is decoded over the whole picture. Progressive ones have about ten."""
MOST_JSON_MEMORY = 2_000_000_000
"""Bytes that the content of a JSON file takes in memory, as ``json_bounds.memory_of`` estimates them; its text may have
a fourth of it. COCO's largest takes 1.4 GB. Whoever trusts a larger file says so with ``POSEBED_JSON_GB``."""
MOST_ENTRIES = 2_000_000
"""Images or annotations of an annotation file. COCO's largest has 860,000."""
MOST_PROBLEMS = 200_000
"""Faults of an annotation file that are kept: each annotation of COCO's largest file of keypoints whose picture is
missing."""
MOST_TEXT_BYTES = 2**28
"""Of a table, a list, an XML file or a file of labels: millions of rows."""
MOST_TABLE_BYTES = 2**29
"""Of a table of numbers in an HDF5 file, unpacked: a thousand columns of 60,000 rows."""
MOST_LEVELS = 100
"""That lists and objects are nested in JSON and YAML. COCO's form has five, our own files ten; libyaml's composer
overflows the stack at some ten thousand."""
MOST_CATEGORIES = 10_000
"""Of a dataset: as many as the largest collections of pictures have species."""
MOST_KEYPOINTS = 2_000
"""Of a category. Meshes of faces have 478; models and figures hold a map or a colour for each."""
MOST_ON_PICTURE = 2_000
"""Annotations or boxes on one picture. They are compared pair by pair; crowds, shoals and swarms have some hundred."""
LONGEST_NAME = 300
"""Characters of the name of a category, family or keypoint."""
LONGEST_PATH = 4_096
"""Characters of a picture's path, or of an id: what Linux takes for a path."""
ROUNDED_AREA = 1.001
"""Factor by which an area may exceed its image's, as areas are rounded on their way."""
LARGEST_SIGMA = 1.0
"""Of a keypoint, in units of the square root of its instance's area: a larger one would find every pose right. COCO's
largest is 0.107."""
SIDES_BEYOND = 3
"""Widths or heights of the picture that a keypoint or a box may lie beyond its border. Annotations of cut-off animals
go beyond it by less than one."""
