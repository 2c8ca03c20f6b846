"""Find keypoints in a picture with a model that `posebed export` wrote. Needs onnxruntime, numpy and pillow alone.

    python predict.py baseline.onnx tiger.jpg --box 40 30 200 150
    python predict.py prototypes-support.onnx prototypes-query.onnx tiger.jpg --support shots.json

`shots.json` is COCO keypoints JSON; its pictures lie beside it or in `images/`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="FILE.onnx, or -support.onnx and -query.onnx; then the picture")
    parser.add_argument("--box", nargs=4, type=float, metavar=("X", "Y", "W", "H"), help="else the whole picture")
    parser.add_argument("--support", type=Path, help="annotated pictures, for two files")
    chosen = parser.parse_args()
    *models, path = chosen.files
    sessions = [onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]) for model in models]
    about = json.loads(sessions[-1].get_modelmeta().custom_metadata_map["posebed"])
    if (len(sessions) == 2) != (chosen.support is not None):
        parser.error("--support must be given with a -support and a -query file, and with no other")
    picture = read(path)
    crop, affine, aspect = cropped(picture, chosen.box or whole(picture), about)
    given = {"image": crop[None], "aspect": np.array([aspect])}
    names = about["categories"][0]["keypoints"] if about["categories"] else []
    if chosen.support:
        shown, names = supports(chosen.support, about)
        given |= shown
    for session in sessions:
        outputs = [output.name for output in session.get_outputs()]
        found = session.run(outputs, {value.name: given[value.name] for value in session.get_inputs()})
        given |= dict(zip(outputs, found, strict=True))
    xy = in_picture(given["xy"][0], affine)
    for name, (x, y), confidence in zip(names, xy, given["confidence"][0], strict=False):
        print(f"{name}\t{x:.3f}\t{y:.3f}\t{confidence:.4f}")


def read(path):
    """(H, W, 3) RGB, uint8."""
    return np.asarray(Image.open(path).convert("RGB"))


def whole(picture):
    """The box (x, y, width, height) of the whole picture."""
    return 0, 0, picture.shape[1], picture.shape[0]


def cropped(picture, box, about):
    """The crop (3, H, W) of a box, the affine (2, 3) from the picture to it, and the box's width / height.

    The box is cut to the picture, grown to the crop's aspect ratio and then by `padding`. Whole numbers are centres of
    pixels in picture and crop.
    """
    (height, width), (left, top) = about["size"], np.maximum(box[:2], 0)
    right, bottom = min(box[0] + box[2], picture.shape[1]), min(box[1] + box[3], picture.shape[0])
    if right <= left or bottom <= top:
        raise SystemExit(f"the box must overlap the picture, but is {box}")
    grown = max(right - left, (bottom - top) * width / height)
    extent = about["padding"] * np.array([grown, grown * height / width])
    span = np.array([width, height]) - (about["convention"] != "plain")
    scale = span / extent
    if about["convention"] == "aligned":
        scale = np.full(2, span[0] / max(extent[0] - 1, 1))
    centre = np.array([left + right, top + bottom]) / 2
    affine = np.column_stack([np.diag(scale), span / 2 - scale * centre])
    return bilinear(picture, affine, (height, width)), affine, (right - left) / (bottom - top)


def bilinear(picture, affine, size):
    """The crop (3, H, W) seen through the affine, uint8; black where the picture ends.

    Places between pixels are rounded as OpenCV's `warpAffine` does: parts to 1/1024, their sum to 1/32.
    """
    places, product = [], 1 / (affine[0, 0] * affine[1, 1])
    for axis, count in ((0, size[1]), (1, size[0])):
        step = affine[1 - axis, 1 - axis] * product
        place = np.round(step * np.arange(count) * 1024) + np.round(-step * affine[axis, 2] * 1024)
        places.append((place + 16) // 32 / 32)
    bordered = np.pad(picture.astype(np.float32), ((1, 1), (1, 1), (0, 0)))
    for axis, place in ((1, places[0]), (0, places[1])):
        place = np.clip(place + 1, 0, bordered.shape[axis] - 1)
        first = np.minimum(place.astype(int), bordered.shape[axis] - 2)
        share = (place - first).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        bordered = bordered.take(first, axis) * (1 - share) + bordered.take(first + 1, axis) * share
    return np.floor(bordered + 0.5).astype(np.uint8).transpose(2, 0, 1)


def in_picture(xy, affine):
    """Points (K, 2) of the crop in pixels of the picture."""
    return (xy - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T


def supports(path, about):
    """What the support file is given, and the names of the keypoints."""
    coco = json.loads(path.read_text(encoding="utf-8"))
    category = coco["categories"][0]
    images = {image["id"]: image["file_name"] for image in coco["images"]}
    shots = [shot for shot in coco["annotations"] if shot["category_id"] == category["id"] and any(shot["keypoints"])]
    crops, points = [], []
    for shot in shots:
        file = path.parent / images[shot["image_id"]]
        picture = read(file if file.is_file() else path.parent / "images" / images[shot["image_id"]])
        crop, affine, _ = cropped(picture, shot["bbox"], about)
        point = np.array(shot["keypoints"], np.float64).reshape(-1, 3)
        crops.append(crop)
        points.append(np.column_stack([point[:, :2] @ affine[:, :2].T + affine[:, 2], point[:, 2] > 0]))
    shown = np.array(points, np.float32)
    links = [[one - 1, other - 1] for one, other in category.get("skeleton", [])] or [[-1, -1]]
    given = {
        "support_image": np.array(crops),
        "support_xy": shown[..., :2] * shown[..., 2:],
        "support_weight": shown[..., 2],
        "links": np.array(links, np.int64),
    }
    return given, category["keypoints"]


if __name__ == "__main__":
    main()
