"""Built-in data: posed figures drawn with their true keypoints, so that nothing needs to be downloaded."""

from __future__ import annotations

from menagerie.config import MenagerieConfig
from menagerie.folder import draw_folder, draw_one
from menagerie.sets import CATEGORIES, categories

__all__ = ["CATEGORIES", "MenagerieConfig", "categories", "draw_folder", "draw_one"]
