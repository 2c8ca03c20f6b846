"""The number of keypoints that a category-agnostic model can tell apart."""

from __future__ import annotations

from posebed.contracts import Setting


def must_suffice(slots: int, setting: Setting) -> None:
    """Refuse data whose largest category has more keypoints than slots.

    Raises:
        ValueError: it has.
    """
    if setting.keypoints > slots:
        raise ValueError(
            f"slots must be {setting.keypoints} or more, the keypoints of the data's largest category, but are {slots}"
        )
