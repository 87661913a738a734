"""Classes put together into the categories that Cityscapes publishes scores for."""

from collections.abc import Sequence

import numpy as np

from twnet_ros.segment.palette import CAMVID, CITYSCAPES
from twnet_ros.segment.remapping import read_remapping


def categories(classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return each category's train ids; nothing where the classes are no known data set's.

    CamVid has no categories of its own and takes those names. Its cyclist is a rider on a bicycle,
    in one class; like Cityscapes' rider it goes to the humans.
    """
    if tuple(classes) not in (CITYSCAPES.names, CAMVID.names):
        return {}
    remapping = read_remapping("cityscapes_categories", classes)
    return {
        name: tuple(np.flatnonzero(remapping.table == number).tolist())
        for number, name in enumerate(remapping.class_set.names)
    }
