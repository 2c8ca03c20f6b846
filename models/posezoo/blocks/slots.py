"""The number of keypoints that a category-agnostic model can tell apart."""

from __future__ import annotations

from posebed.contracts import Setting


def must_suffice(slots: int, setting: Setting, field: str = "slots") -> None:
    """Refuse data whose largest category has more keypoints than slots.

    Args:
        field: what the configuration calls them.

    Raises:
        ValueError: it has.
    """
    if setting.keypoints > slots:
        raise ValueError(
            f"{field} must be {setting.keypoints} or more, the keypoints of the data's largest category, but are "
            f"{slots}"
        )
