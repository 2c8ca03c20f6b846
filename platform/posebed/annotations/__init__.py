"""Reading and checking annotation files: COCO and what resembles it, to records and problems."""
