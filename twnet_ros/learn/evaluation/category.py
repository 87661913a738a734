"""Classes put together into the categories that Cityscapes publishes scores for."""

from collections.abc import Sequence

from twnet_ros.segment.palette import CAMVID, CITYSCAPES

# CamVid has no categories of its own and takes those names. Its cyclist is a rider on a bicycle,
# in one class; like Cityscapes' rider it goes to the humans.
_GROUPS: dict[tuple[str, ...], dict[str, tuple[str, ...]]] = {
    CITYSCAPES.names: {
        "flat": ("road", "sidewalk"),
        "construction": ("building", "wall", "fence"),
        "object": ("pole", "traffic light", "traffic sign"),
        "nature": ("vegetation", "terrain"),
        "sky": ("sky",),
        "human": ("person", "rider"),
        "vehicle": ("car", "truck", "bus", "train", "motorcycle", "bicycle"),
    },
    CAMVID.names: {
        "flat": ("road", "pavement"),
        "construction": ("building", "fence"),
        "object": ("pole", "sign"),
        "nature": ("tree",),
        "sky": ("sky",),
        "human": ("pedestrian", "cyclist"),
        "vehicle": ("car",),
    },
}


def categories(classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return each category's train ids; nothing where the classes are no known data set's."""
    groups = _GROUPS.get(tuple(classes), {})
    return {
        category: tuple(classes.index(name) for name in names)
        for category, names in groups.items()
    }
