"""The parameters of the segment node, and what they say of the engine."""

from typing import Any

from twnet_ros.codec.limit import MOST_BYTES, MOST_PIXELS
from twnet_ros.nodes import diagnostic
from twnet_ros.nodes.conversion import ALL_CLASSES
from twnet_ros.nodes.intake import AUTO, INPUT_TYPES, RELIABILITIES
from twnet_ros.nodes.parameter import Parameter
from twnet_ros.nodes.topic import check_topic
from twnet_ros.segment import (
    KEY_POLICIES,
    MOTION_SOURCES,
    KeyPolicy,
    Segmenter,
    SegmentError,
    key_policy,
)
from twnet_ros.segment.policy import INTERVAL, INTRA, RESIDUAL


def _check_topic(value: str) -> None:
    try:
        if value:
            check_topic(value, "any_node", "/")
    except ValueError as error:
        raise ValueError(f"camera_info: {error}") from error


def _input_size(value: list[int]) -> tuple[int, int] | None:
    if len(value) != 2 or min(value) < 0 or (0 in value and any(value)):
        raise SegmentError(f"expected input_size [width, height] or [0, 0], got {list(value)}")
    width, height = value
    return (width, height) if width else None


TABLE = (
    Parameter(
        "model",
        "camvid-mobilenetv1-layer1",
        "Name of a shipped model, or path of a .safetensors checkpoint.",
        live=True,
    ),
    Parameter(
        "device",
        "auto",
        "Where the network runs: cpu, cuda, cuda:N, or a GPU where there is one (auto).",
        live=True,
    ),
    Parameter(
        "precision",
        "auto",
        "Number format of the network; on a GPU auto is fp16, on a CPU it measures whether "
        "bf16 pays. fp16 is for GPUs alone.",
        choices=("auto", "fp32", "bf16", "fp16"),
        live=True,
    ),
    Parameter(
        "input_size",
        [0, 0],
        "Width and height, 32 to 8192 pixels each, that the video is scaled to fit for the "
        "network; [0, 0] is the model's own.",
        check=_input_size,
        live=True,
    ),
    Parameter(
        "motion",
        "auto",
        "Where motion comes from: the codec's vectors, and optical flow between the pictures for "
        "frames that have none (auto); the vectors alone, so that frames without take the key "
        "step (codec); flow alone (flow); no motion, so that each pixel is taken from the same "
        "place in the last frame (none); or flow by a network of the package ptlflow (flownet2, "
        "pwcnet), whose weights are for research.",
        choices=MOTION_SOURCES,
        live=True,
    ),
    Parameter(
        "key_policy",
        "adaptive",
        "Which frames take the key step: I-frames alone (codec), those that key_interval and "
        "key_intra ask for, too (interval), or those that key_residual asks for, too (adaptive).",
        choices=KEY_POLICIES,
        live=True,
    ),
    Parameter(
        "key_interval",
        INTERVAL,
        "Labelled frames from one key step to the next, unless key_policy is codec.",
        range=(1, 10_000),
        live=True,
    ),
    Parameter(
        "key_intra",
        INTRA,
        "Share of blocks without a motion vector (a cut, a flash) above which a frame takes the "
        "key step, unless key_policy is codec.",
        range=(0.0, 1.0),
        live=True,
    ),
    Parameter(
        "key_residual",
        RESIDUAL,
        "Mean magnitude of the luma residual, in 8-bit levels, above which a frame takes the key "
        "step with key_policy adaptive.",
        range=(0.0, 255.0),
        live=True,
    ),
    Parameter(
        "class_map",
        "",
        "Classes that labels and masks are published in, instead of the model's own: "
        "a shipped mapping (driving, cityscapes_categories, mapillary), or the path of one.",
        live=True,
    ),
    Parameter(
        "colors",
        "",
        "JSON file with the names and colors of all classes, as training takes it; empty: the "
        "colours of the model, or of class_map.",
        live=True,
    ),
    Parameter(
        "mask_classes",
        [ALL_CLASSES],
        "Classes, by name, that ~/masks holds and ~/masks/<class> shows; "
        f"[{ALL_CLASSES}] is every class.",
        live=True,
    ),
    Parameter(
        "confidence_threshold",
        0.0,
        "Probability of a pixel's class below which the pixel is unlabelled (255).",
        range=(0.0, 1.0),
        live=True,
    ),
    Parameter(
        "output_scale",
        1.0,
        "Size of the labels, and of all that is made of them, over the video's; "
        "~/camera_info is scaled with it.",
        range=(0.05, 1.0),
        live=True,
    ),
    Parameter(
        "overlay_opacity",
        0.5,
        "Share of the classes' colours in ~/overlay/compressed; the rest is the picture.",
        range=(0.0, 1.0),
        live=True,
    ),
    Parameter(
        "skip",
        True,
        "Skip frames that cannot be labelled within max_latency_ms; every packet is decoded, and "
        "the next frame goes on from the last one labelled. False labels every frame, however "
        "late, as long as no more than queue_size packets wait.",
        live=True,
    ),
    Parameter(
        "max_latency_ms",
        200.0,
        "Time from a packet's arrival to its labels, in milliseconds, beyond which frames are "
        "skipped for the newest one; 0 always takes the newest.",
        range=(0.0, 60_000.0),
        live=True,
    ),
    *diagnostic.TABLE,
    Parameter(
        "label_broken",
        False,
        "After a loss or damage go on labelling what the decoder makes of the stream, with "
        "chain_intact false and the reason in ~/status, and do not wait for the next key frame.",
    ),
    Parameter(
        "input_type",
        AUTO,
        "Message type of the video; auto takes the one that is published, looking once a second. "
        "If it is set, the node subscribes at once and misses nothing of the beginning.",
        choices=(AUTO, *(kind.name for kind in INPUT_TYPES)),
    ),
    Parameter(
        "camera_info",
        "",
        "Topic of the camera's calibration; empty: what camera_info is remapped to, or else "
        "camera_info beside the image's.",
        check=_check_topic,
    ),
    Parameter(
        "reliability",
        AUTO,
        "QoS of the video subscription: what the publishers offer (auto), looked up once a "
        "second; reliable refuses publishers that offer best effort alone.",
        choices=RELIABILITIES,
    ),
    Parameter(
        "parse",
        False,
        "Messages are pieces of a byte stream with start codes (H.264, MPEG-4, HEVC), cut "
        "anywhere, and not one picture each; a picture is labelled when the next one begins, "
        "under the header of the message in which it began.",
    ),
    Parameter(
        "queue_size",
        30,
        "Packets that may wait for the decoder; one more drops them all, to the next key frame. "
        "As many may wait in the middleware.",
        range=(1, 1000),
    ),
    Parameter(
        "max_packet_bytes",
        MOST_BYTES,
        "Bytes of a packet above which it is dropped undecoded.",
        range=(1024, MOST_BYTES),
    ),
    Parameter(
        "max_pixels",
        MOST_PIXELS,
        "Pixels of a picture above which the video is refused; its sides count in whole blocks, "
        "of 16 pixels in H.264 and MPEG-4 and up to 64 in others.",
        range=(256, MOST_PIXELS),
    ),
    Parameter("autostart", True, "Configure and activate at start, without a lifecycle manager."),
)

ENGINE = {"model", "device", "precision", "input_size", "motion"}  # a new engine for each change


def load_segmenter(values: dict[str, Any], video: tuple[int, int] | None = None) -> Segmenter:
    """Return a new engine as the parameters say; SegmentError where it cannot be.

    It is warmed up for a size of ``video``, if that is known.
    """
    segmenter = Segmenter.load(
        values["model"],
        values["device"],
        values["precision"],
        input_size=_input_size(values["input_size"]),
        policy=policy(values),
        motion=values["motion"],
        label_broken=values["label_broken"],
    )
    segmenter.warm_up(video)
    return segmenter


def policy(values: dict[str, Any]) -> KeyPolicy:
    """Return which frames take the key step."""
    return key_policy(
        values["key_policy"], values["key_interval"], values["key_intra"], values["key_residual"]
    )
