"""Built-in data: posed figures drawn with their true keypoints, so that nothing needs to be downloaded."""

from __future__ import annotations

from posebed.menagerie.config import MenagerieConfig
from posebed.menagerie.folder import draw_folder, draw_one
from posebed.menagerie.sets import CATEGORIES, categories

__all__ = ["CATEGORIES", "MenagerieConfig", "categories", "draw_folder", "draw_one"]
