"""The four-legged species of the built-in data: AP-10K's skeleton, and one row of proportions per species."""

from __future__ import annotations

from functools import partial

from menagerie.camera import View
from menagerie.coats import Paint
from menagerie.kinds.anatomy import Species
from menagerie.kinds.quadruped import build
from menagerie.skeleton import Kind, flip_pairs
from posebed.records import Category

NAMES = (
    "left_eye", "right_eye", "nose", "neck", "root_of_tail",
    "left_shoulder", "left_elbow", "left_front_paw", "right_shoulder", "right_elbow", "right_front_paw",
    "left_hip", "left_knee", "left_back_paw", "right_hip", "right_knee", "right_back_paw",
)  # fmt: skip
LIMBS = ((0, 1), (0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (5, 6), (6, 7), (3, 8), (8, 9), (9, 10), (4, 11), (11, 12))
LIMBS += ((12, 13), (4, 14), (14, 15), (15, 16))
_LEGS = (0.079, 0.072, 0.062, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089, 0.107, 0.087, 0.089)
SIGMAS = (0.025, 0.025, 0.026, 0.035, 0.035, *_LEGS)
UPPER_BODY = (0, 1, 2, 3, 5, 6, 7, 8, 9, 10)

SPECIES = (
    Species(
        "tiger", "Felidae", Paint((206, 128, 54), (28, 20, 16), (238, 226, 208), pattern="stripes"), chest=0.22,
        loin=0.19, rump=0.20, front=0.62, back=0.70, thigh=0.15, ankle=0.06, foot=0.085, neck=0.28, neck_pitch=22,
        neck_base=0.19, neck_top=0.15, head=0.36, head_pitch=-12, skull=0.15, muzzle=0.09, muzzle_from=0.60,
        muzzle_colour=(236, 226, 212), nose_colour=(150, 88, 84), eye_side=50, ear="round", ear_size=0.11, tail=0.85,
        tail_width=0.04, can_sit=True,
    ),
    Species(
        "leopard", "Felidae", Paint((208, 164, 98), (38, 28, 20), (240, 230, 212), pattern="rosettes"), chest=0.19,
        loin=0.16, rump=0.18, front=0.58, back=0.66, thigh=0.13, ankle=0.05, foot=0.07, neck=0.28, neck_pitch=22,
        neck_base=0.16, neck_top=0.125, head=0.33, head_pitch=-12, skull=0.125, muzzle=0.078, muzzle_from=0.60,
        muzzle_colour=(230, 214, 190), nose_colour=(120, 76, 72), eye_side=50, ear="round", ear_size=0.10, tail=0.95,
        tail_width=0.038, can_sit=True,
    ),
    Species(
        "lion", "Felidae", Paint((196, 152, 96), (150, 108, 62), (226, 206, 170)), chest=0.22, loin=0.18, rump=0.19,
        front=0.64, back=0.70, thigh=0.14, ankle=0.058, foot=0.085, neck=0.30, neck_pitch=28, neck_base=0.18,
        neck_top=0.15, head=0.38, head_pitch=-10, skull=0.14, muzzle=0.095, muzzle_from=0.58,
        muzzle_colour=(222, 200, 166), nose_colour=(90, 60, 56), eye_side=50, ear="round", ear_size=0.11,
        mane="lion", mane_colour=(98, 58, 28), tail=0.85, tail_width=0.03, brush="tuft", can_sit=True,
    ),
    Species(
        "cat", "Felidae",
        Paint((142, 134, 124), (70, 64, 58), (222, 216, 208), (232, 228, 222), 0.9, pattern="stripes", scale=1.3),
        chest=0.18, loin=0.17, rump=0.19, front=0.52, back=0.60, thigh=0.13, ankle=0.045, foot=0.062, neck=0.22,
        neck_pitch=38, neck_base=0.14, neck_top=0.12, head=0.31, head_pitch=-8, skull=0.155, muzzle=0.075,
        muzzle_from=0.66, muzzle_colour=(226, 218, 210), nose_colour=(196, 124, 122), eye=0.030, eye_side=48,
        ear="pointed", ear_size=0.19, tail=0.85, tail_pitch=10, tail_width=0.038, can_sit=True,
    ),
    Species(
        "wolf", "Canidae", Paint((138, 130, 120), (100, 92, 84), (214, 206, 192), pattern="mottled"), chest=0.22,
        loin=0.17, rump=0.18, front=0.74, back=0.78, thigh=0.13, ankle=0.042, foot=0.065, neck=0.34, neck_pitch=30,
        neck_base=0.20, neck_top=0.15, head=0.44, head_pitch=-14, skull=0.125, muzzle=0.062, muzzle_from=0.50,
        muzzle_colour=(206, 198, 186), eye_side=52, ear_size=0.15, tail=0.65, tail_pitch=-42, tail_width=0.042,
        brush="bush", can_sit=True,
    ),
    Species(
        "fox", "Canidae", Paint((204, 104, 42), (176, 78, 26), (240, 234, 224), tip=(44, 32, 28), tip_from=0.62),
        chest=0.18, loin=0.145, rump=0.16, front=0.62, back=0.68, thigh=0.11, ankle=0.034, foot=0.05, neck=0.30,
        neck_pitch=30, neck_base=0.155, neck_top=0.12, head=0.40, head_pitch=-14, skull=0.115, muzzle=0.046,
        muzzle_from=0.48, muzzle_colour=(238, 230, 220), eye_side=52, ear_size=0.19,
        ear_colour=(70, 44, 32), tail=0.80, tail_pitch=-22,
        tail_width=0.052, brush="bush", can_sit=True,
    ),
    Species(
        "dog", "Canidae", Paint((232, 228, 220), (44, 38, 36), pattern="patches"), chest=0.22, loin=0.17, rump=0.18,
        front=0.72, back=0.76, thigh=0.13, ankle=0.044, foot=0.062, neck=0.34, neck_pitch=42, neck_base=0.16,
        neck_top=0.125, head=0.42, head_pitch=-12, skull=0.13, muzzle=0.078, muzzle_from=0.52, eye_side=52,
        ear="floppy", ear_size=0.20, tail=0.60, tail_pitch=25, tail_width=0.030, can_sit=True,
    ),
    Species(
        "horse", "Equidae", Paint((150, 94, 54), (110, 64, 34), tip=(44, 32, 26), tip_from=0.66), chest=0.235,
        loin=0.215, rump=0.24, front=1.0, back=1.06, thigh=0.15, ankle=0.042, foot=0.062, hoof=(48, 40, 36),
        neck=0.62, neck_pitch=48, neck_base=0.21, neck_top=0.125, head=0.56, head_pitch=-42, skull=0.125,
        muzzle=0.082, muzzle_from=0.58, eye_side=70, ear_size=0.13, mane="crest", mane_colour=(34, 24, 20),
        tail=0.75, tail_pitch=-62, tail_width=0.045, brush="hair",
    ),
    Species(
        "zebra", "Equidae", Paint((236, 232, 224), (26, 24, 24), pattern="bands"), chest=0.235, loin=0.225,
        rump=0.235, front=0.88, back=0.94, thigh=0.145, ankle=0.042, foot=0.058, hoof=(50, 44, 42), neck=0.52,
        neck_pitch=42, neck_base=0.20, neck_top=0.125, head=0.52, head_pitch=-36, skull=0.12, muzzle=0.08,
        muzzle_from=0.58, muzzle_colour=(46, 42, 42), eye_side=70, ear="leaf", ear_size=0.14, mane="crest",
        mane_colour=(40, 36, 36), tail=0.60, tail_pitch=-60, tail_width=0.022, brush="tuft",
    ),
    Species(
        "donkey", "Equidae", Paint((140, 130, 122), (112, 102, 94), (226, 220, 210)), chest=0.235, loin=0.225,
        rump=0.225, front=0.84, back=0.88, thigh=0.14, ankle=0.042, foot=0.055, hoof=(50, 44, 42), neck=0.46,
        neck_pitch=36, neck_base=0.18, neck_top=0.12, head=0.54, head_pitch=-36, skull=0.13, muzzle=0.088,
        muzzle_from=0.60, muzzle_colour=(228, 222, 214), eye_side=70, ear="long", ear_size=0.30, mane="crest",
        mane_colour=(56, 48, 44), tail=0.60, tail_pitch=-64, tail_width=0.022, brush="tuft",
    ),
    Species(
        "cow", "Bovidae", Paint((232, 226, 216), (36, 30, 28), pattern="patches", scale=0.8), chest=0.29, loin=0.29,
        rump=0.26, width=0.76, front=0.80, back=0.84, thigh=0.145, ankle=0.05, foot=0.064, hoof=(52, 46, 40),
        neck=0.40, neck_pitch=14, neck_base=0.20, neck_top=0.14, head=0.48, head_pitch=-34, skull=0.135,
        muzzle=0.105, muzzle_from=0.62, muzzle_colour=(216, 172, 160), nose_colour=(180, 130, 124), eye_side=72,
        ear="leaf", ear_size=0.16, gear="cattle", mane_colour=(210, 204, 196), tail=0.80, tail_pitch=-76,
        tail_width=0.022, brush="tuft",
    ),
    Species(
        "antelope", "Bovidae", Paint((188, 134, 80), (150, 98, 52), (240, 232, 220)), chest=0.19, loin=0.165,
        rump=0.185, front=0.92, back=0.98, thigh=0.115, ankle=0.030, foot=0.042, hoof=(40, 34, 32), neck=0.50,
        neck_pitch=55, neck_base=0.125, neck_top=0.085, head=0.38, head_pitch=-34, skull=0.095, muzzle=0.056,
        muzzle_from=0.56, eye_side=72, ear="leaf", ear_size=0.17, gear="lyre", tail=0.28, tail_pitch=-66,
        tail_width=0.026,
    ),
    Species(
        "sheep", "Bovidae",
        Paint((226, 218, 202), (198, 187, 170), tip=(52, 46, 44), tip_from=0.5, pattern="wool", scale=2.0),
        chest=0.30, loin=0.31, rump=0.30, width=0.84, front=0.66, back=0.66, thigh=0.16, ankle=0.036, foot=0.046,
        hoof=(36, 32, 30), neck=0.34, neck_pitch=28, neck_base=0.21, neck_top=0.16, head=0.38, head_pitch=-34,
        skull=0.115, muzzle=0.072, muzzle_from=0.56, muzzle_colour=(58, 50, 48), eye_side=72, ear="leaf",
        ear_size=0.16, tail=0.26, tail_pitch=-72, tail_width=0.05,
    ),
    Species(
        "deer", "Cervidae", Paint((164, 102, 58), (236, 224, 204), (232, 220, 202), pattern="dots", scale=1.2),
        chest=0.205, loin=0.18, rump=0.20, front=0.90, back=0.96, thigh=0.125, ankle=0.032, foot=0.045,
        hoof=(40, 34, 32), neck=0.50, neck_pitch=52, neck_base=0.145, neck_top=0.095, head=0.40, head_pitch=-28,
        skull=0.10, muzzle=0.056, muzzle_from=0.54, eye_side=70, ear="leaf", ear_size=0.18, gear="antlers",
        tail=0.24, tail_pitch=-50, tail_width=0.035,
    ),
    Species(
        "moose", "Cervidae", Paint((112, 86, 66), (80, 60, 46), tip=(170, 154, 134), tip_from=0.6), chest=0.27,
        loin=0.22, rump=0.22, slope=0.10, hump=0.06, front=1.05, back=1.02, thigh=0.14, ankle=0.042, foot=0.055,
        hoof=(36, 30, 28), neck=0.40, neck_pitch=24, neck_base=0.20, neck_top=0.14, head=0.58, head_pitch=-36,
        skull=0.125, muzzle=0.115, muzzle_from=0.55, eye_side=72, ear="leaf", ear_size=0.17, gear="palms", tail=0.12,
        tail_pitch=-60, tail_width=0.04,
    ),
    Species(
        "giraffe", "Giraffidae", Paint((150, 88, 42), (232, 208, 160), (238, 224, 192), pattern="cells", scale=0.9),
        chest=0.28, loin=0.22, rump=0.21, slope=0.28, front=1.45, back=1.38, thigh=0.14, ankle=0.045, foot=0.062,
        hoof=(60, 50, 44), neck=1.45, neck_pitch=64, neck_base=0.21, neck_top=0.085, head=0.44, head_pitch=-30,
        skull=0.10, muzzle=0.062, muzzle_from=0.55, muzzle_colour=(214, 186, 142), eye_side=72, ear="leaf",
        ear_size=0.15, gear="ossicones", mane_colour=(90, 52, 30), tail=0.65, tail_pitch=-74, tail_width=0.02,
        brush="tuft",
    ),
    Species(
        "elephant", "Elephantidae", Paint((140, 132, 128), (122, 114, 110), pattern="mottled", gloss=0.05),
        chest=0.36, loin=0.38, rump=0.34, width=0.78, hump=0.02, front=0.92, back=0.90, thigh=0.19, ankle=0.10,
        foot=0.115, hoof=(160, 150, 140), zigzag=0.25, neck=0.22, neck_pitch=24, neck_base=0.26, neck_top=0.23,
        head=0.42, head_pitch=-38, skull=0.22, muzzle=0.125, muzzle_from=0.62, eye=0.022, eye_side=74, ear="fan",
        ear_size=0.36, gear="tusks", mane_colour=(40, 36, 34), tail=0.55, tail_pitch=-76, tail_width=0.026,
        brush="tuft",
    ),
    Species(
        "rhino", "Rhinocerotidae", Paint((138, 132, 126), (120, 113, 108), pattern="mottled", gloss=0.05),
        chest=0.32, loin=0.33, rump=0.31, width=0.80, front=0.66, back=0.68, thigh=0.18, ankle=0.085, foot=0.10,
        hoof=(110, 102, 96), zigzag=0.45, neck=0.34, neck_pitch=4, neck_base=0.25, neck_top=0.19, head=0.56,
        head_pitch=-30, skull=0.165, muzzle=0.125, muzzle_from=0.55, eye=0.020, eye_side=74, ear="leaf",
        ear_size=0.13, gear="rhino", tail=0.40, tail_pitch=-76, tail_width=0.024,
    ),
    Species(
        "bear", "Ursidae", Paint((124, 86, 58), (84, 56, 38), pattern="fur"), chest=0.28, loin=0.27, rump=0.27,
        width=0.82, hump=0.04, front=0.66, back=0.68, thigh=0.18, ankle=0.085, foot=0.10, zigzag=0.6, neck=0.30,
        neck_pitch=10, neck_base=0.23, neck_top=0.18, head=0.42, head_pitch=-16, skull=0.175, muzzle=0.085,
        muzzle_from=0.58, muzzle_colour=(146, 110, 80), eye=0.022, eye_side=52, ear="round", ear_size=0.12,
        tail=0.10, tail_pitch=-50, tail_width=0.05, can_sit=True,
    ),
    Species(
        "panda", "Ursidae", Paint((216, 212, 204), (190, 184, 176), tip=(30, 28, 28), tip_from=0.05), chest=0.29,
        loin=0.30, rump=0.29, width=0.86, front=0.58, back=0.58, thigh=0.19, ankle=0.095, foot=0.10, zigzag=0.6,
        neck=0.24, neck_pitch=16, neck_base=0.24, neck_top=0.20, head=0.36, head_pitch=-12, skull=0.20, muzzle=0.085,
        muzzle_from=0.66, muzzle_colour=(230, 226, 220), eye=0.024, eye_side=52, ear="round", ear_size=0.13,
        ear_colour=(30, 28, 28), eye_patch=(30, 28, 28),
        tail=0.10, tail_pitch=-50, tail_width=0.06, can_sit=True,
    ),
    Species(
        "pig", "Suidae", Paint((226, 168, 152), (204, 144, 130), pattern="mottled", gloss=0.12), chest=0.27,
        loin=0.27, rump=0.26, width=0.82, front=0.50, back=0.52, thigh=0.15, ankle=0.045, foot=0.055,
        hoof=(90, 76, 68), neck=0.24, neck_pitch=6, neck_base=0.23, neck_top=0.19, head=0.44, head_pitch=-22,
        skull=0.165, muzzle=0.080, muzzle_from=0.60, muzzle_colour=(220, 150, 140), nose_colour=(206, 130, 124),
        eye_side=66, ear="leaf", ear_size=0.17, tail=0.25, tail_pitch=-10, tail_width=0.018,
    ),
)  # fmt: skip


def _kind(species: Species) -> Kind:
    category = Category(species.key, species.key, NAMES, species.family, LIMBS, flip_pairs(NAMES), SIGMAS, UPPER_BODY)
    return Kind(category, partial(build, species), View((-6, 48), roll=9, aside=0.5))


QUADRUPEDS = tuple(map(_kind, SPECIES))
