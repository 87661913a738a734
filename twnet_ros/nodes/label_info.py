"""What the values of the label image stand for, as vision_msgs/LabelInfo has it."""

from collections.abc import Sequence
from typing import Any

from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from std_msgs.msg import Header

from twnet_ros.nodes.message import load_message
from twnet_ros.segment import UNLABELLED

PACKAGE = "vision_msgs"
UNLABELLED_NAME = "UNLABELED"  # as the definition of LabelInfo writes it
# Whoever subscribes later gets it, too; the layer of Nav2 asks for just this.
LABEL_INFO_QOS = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


def load() -> type:
    """Return LabelInfo; ImportError says which package to install."""
    return load_message(PACKAGE, "LabelInfo")


def label_info_message(names: Sequence[str], threshold: float, header: Header) -> Any:
    """Return the classes by their values in the label image, the unlabelled one last.

    ``names`` holds up to 255 distinct names by train id; ``threshold`` is the confidence, from 0
    to 1, below which a pixel is left unlabelled. ImportError as from ``load``.

    Nav2's ``semantic_segmentation_layer`` takes ``class_id`` for the value of a mono8 mask and
    finds ``class_name`` among the classes of its configuration; one that is not there, it reports
    as an error and ignores. Every name thus belongs there, UNLABELED too.
    """
    vision_class = load_message(PACKAGE, "VisionClass")
    classes = [vision_class(class_id=i, class_name=name) for i, name in enumerate(names)]
    classes.append(vision_class(class_id=UNLABELLED, class_name=UNLABELLED_NAME))
    return load()(header=header, class_map=classes, threshold=threshold)
