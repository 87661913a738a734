"""The streaming engine: coded frames in, label images out."""

from twnet_ros.segment.flow import MOTION_SOURCES
from twnet_ros.segment.network import Network, find_model
from twnet_ros.segment.palette import CAMVID, CITYSCAPES, UNLABELLED, ClassSet, read_class_set
from twnet_ros.segment.policy import CODEC_KEYS, KEY_POLICIES, KeyPolicy, key_policy
from twnet_ros.segment.remapping import Remapping, read_remapping
from twnet_ros.segment.render import (
    color_motion,
    crop_even,
    render_labels,
    render_motion,
    render_overlay,
    render_residual,
    to_rgb,
)
from twnet_ros.segment.segmentation import Evidence, Path, Segmentation, SegmentError, Wish
from twnet_ros.segment.segmenter import Segmenter

__all__ = [
    "CAMVID",
    "CITYSCAPES",
    "CODEC_KEYS",
    "KEY_POLICIES",
    "MOTION_SOURCES",
    "UNLABELLED",
    "ClassSet",
    "Evidence",
    "KeyPolicy",
    "Network",
    "Path",
    "Remapping",
    "SegmentError",
    "Segmentation",
    "Segmenter",
    "Wish",
    "color_motion",
    "crop_even",
    "find_model",
    "key_policy",
    "read_class_set",
    "read_remapping",
    "render_labels",
    "render_motion",
    "render_overlay",
    "render_residual",
    "to_rgb",
]
