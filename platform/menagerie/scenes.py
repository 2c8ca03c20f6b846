"""The places that figures are put into: their colours, what lies about in them and what may stand in the way."""

from __future__ import annotations

from dataclasses import dataclass

from menagerie.coats import Colour

Colours = tuple[Colour, ...]


@dataclass(frozen=True)
class Scene:
    sky: Colours
    """What the upper part may be coloured: sky, wall, far water."""
    ground: Colours
    clutter: str
    """Names of ``brush.CLUTTER``."""
    front: str
    """What may stand before the figure."""
    tones: Colours
    """Colours of clutter and occluders."""
    rough: float = 16.0
    """Contrast of the ground's texture, in grey levels."""
    grounded: bool = True
    """Whether figures stand on the ground and cast a shadow there."""


_SKIES: Colours = ((168, 198, 226), (206, 216, 224), (226, 206, 178), (132, 172, 214))
_WALLS: Colours = ((206, 196, 178), (160, 176, 178), (188, 160, 142), (116, 130, 142), (222, 220, 212), (150, 160, 128))

SCENES = {
    "meadow": Scene(
        sky=_SKIES,
        ground=((96, 132, 58), (122, 140, 66), (78, 112, 52)),
        clutter="grass bush trunk rock",
        front="grass post",
        tones=((70, 98, 44), (104, 112, 58), (88, 74, 54)),
    ),
    "savanna": Scene(
        sky=_SKIES,
        ground=((190, 160, 98), (172, 138, 84), (150, 130, 74)),
        clutter="grass bush rock trunk",
        front="grass branch",
        tones=((164, 140, 76), (120, 104, 56), (96, 84, 52)),
    ),
    "forest": Scene(
        sky=((72, 92, 56), (54, 70, 46), (112, 128, 96)),
        ground=((106, 88, 60), (86, 96, 54), (124, 104, 74)),
        clutter="trunk bush branch grass",
        front="trunk branch bush",
        tones=((58, 76, 38), (84, 66, 46), (70, 58, 42)),
        rough=22,
    ),
    "snow": Scene(
        sky=((190, 204, 220), (214, 218, 226)),
        ground=((208, 214, 224), (194, 202, 214)),
        clutter="trunk rock bush",
        front="branch rock",
        tones=((88, 84, 82), (70, 86, 80), (176, 184, 194)),
        rough=9,
    ),
    "rock": Scene(
        sky=_SKIES,
        ground=((140, 130, 118), (118, 110, 102), (160, 142, 118)),
        clutter="rock bush grass",
        front="rock grass",
        tones=((128, 118, 106), (98, 92, 86), (150, 134, 112)),
        rough=24,
    ),
    "water": Scene(
        sky=((34, 92, 128), (46, 122, 150), (24, 70, 98)),
        ground=((40, 96, 116), (120, 128, 104), (22, 62, 84)),
        clutter="weed rock blob",
        front="weed",
        tones=((36, 98, 72), (60, 108, 86), (98, 92, 70)),
        rough=13,
        grounded=False,
    ),
    "sky": Scene(
        sky=_SKIES,
        ground=_SKIES,
        clutter="cloud branch",
        front="branch",
        tones=((96, 84, 66), (66, 92, 48), (230, 232, 236)),
        rough=5,
        grounded=False,
    ),
    "soil": Scene(
        sky=((120, 92, 62), (142, 118, 84)),
        ground=((126, 98, 68), (146, 122, 88), (104, 98, 76)),
        clutter="leaf twig rock",
        front="leaf twig",
        tones=((92, 110, 44), (126, 92, 50), (72, 58, 42)),
        rough=24,
    ),
    "leaf": Scene(
        sky=((86, 128, 50), (62, 104, 44)),
        ground=((92, 138, 56), (70, 112, 48), (120, 150, 76)),
        clutter="leaf twig blob",
        front="leaf twig",
        tones=((64, 112, 44), (112, 146, 64), (126, 98, 58)),
        rough=14,
    ),
    "room": Scene(
        sky=_WALLS,
        ground=((150, 112, 76), (130, 108, 92), (170, 160, 150), (112, 94, 80)),
        clutter="panel post shelf",
        front="post panel",
        tones=((126, 96, 70), (92, 104, 120), (196, 190, 180), (150, 70, 58)),
        rough=8,
    ),
    "table": Scene(
        sky=_WALLS,
        ground=((158, 118, 78), (210, 206, 198), (106, 82, 64), (120, 134, 140)),
        clutter="blob panel twig",
        front="post twig",
        tones=((168, 70, 58), (70, 98, 140), (206, 190, 150), (84, 84, 84)),
        rough=9,
    ),
    "street": Scene(
        sky=_SKIES,
        ground=((112, 112, 114), (132, 128, 122), (98, 100, 104)),
        clutter="house post trunk panel",
        front="post panel",
        tones=((140, 118, 104), (104, 110, 118), (176, 164, 148), (92, 62, 54)),
        rough=13,
    ),
}
