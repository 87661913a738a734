"""Pure functions between arrays and messages."""

import array
import math
import re
from collections.abc import Collection, Sequence

import cv2
import numpy as np
from cv_bridge import CvBridge
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header

from twnet_ros.codec import FrameKind
from twnet_ros.msg import ClassMask, ClassMasks, FrameStatus
from twnet_ros.nodes.ticket import Ticket
from twnet_ros.segment import Path, SegmentError

Labels = NDArray[np.uint8]  # (H, W) train ids, 255 = unlabelled

ALL_CLASSES = "all"
JPEG_QUALITY = 85

_FRAME_TYPES = {
    None: FrameStatus.FRAME_UNKNOWN,
    FrameKind.I: FrameStatus.FRAME_I,
    FrameKind.P: FrameStatus.FRAME_P,
    FrameKind.B: FrameStatus.FRAME_B,
}
_PATHS = {Path.KEY: FrameStatus.PATH_KEY, Path.NONKEY: FrameStatus.PATH_NONKEY}
_bridge = CvBridge()


def topic_token(class_name: str) -> str:
    """Return a class name as the last part of a topic name: ``traffic_light``."""
    return re.sub(r"\W+", "_", class_name.strip(), flags=re.ASCII)


def mask_topics(wanted: Sequence[str], classes: Sequence[str]) -> dict[int, str]:
    """Return the topic of each wanted class's mask by train id; ``[all]`` wants every class.

    SegmentError if a name is no class's, or no topic can be named after it.
    """
    if list(wanted) == [ALL_CLASSES]:
        wanted = list(classes)
    unknown = sorted(set(wanted) - set(classes))
    if unknown:
        raise SegmentError(
            f"expected mask_classes to be [{ALL_CLASSES}] or among the classes "
            f"({', '.join(classes)}), got {', '.join(unknown)}"
        )
    names: dict[str, str] = {}  # by topic token
    for name in sorted(set(wanted)):
        token = topic_token(name)
        if not re.fullmatch(r"[A-Za-z]\w*", token):
            raise SegmentError(
                f"mask_classes: expected names that begin with a letter, got {name!r}"
            )
        if token in names:
            raise SegmentError(
                "mask_classes: expected names that differ as topics, "
                f"got {names[token]!r} and {name!r}"
            )
        names[token] = name
    return {classes.index(name): f"~/masks/{token}" for token, name in names.items()}


def image_message(image: NDArray[np.uint8], header: Header) -> Image:
    """Return an image message: mono8 of an array (H, W), rgb8 of RGB (H, W, 3)."""
    message = _bridge.cv2_to_imgmsg(image, "mono8" if image.ndim == 2 else "rgb8")
    message.header = header
    return message


def compressed_message(rgb: NDArray[np.uint8], header: Header) -> CompressedImage:
    """Return RGB (H, W, 3) as JPEG, in the format that image_transport's ``compressed`` has."""
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    message = CompressedImage(header=header, format="rgb8; jpeg compressed bgr8")
    message.data.frombytes(data.tobytes())
    return message


def class_image(labels: Labels, class_id: int) -> Labels:
    """Return 255 where a pixel has the class and 0 elsewhere, (H, W)."""
    return (labels == class_id).astype(np.uint8) * np.uint8(255)


def encode_masks(
    labels: Labels, names: Sequence[str], wanted: Collection[int], header: Header
) -> ClassMasks:
    """Return the run-length encoded masks of the wanted classes that are present in ``labels``.

    ``names`` holds the class names by train id. One pass over the picture finds the runs of all
    classes; the rest is work on runs.
    """
    height, width = labels.shape
    changes = np.ones((height, width), bool)  # where a run starts: at the latest with its row
    np.not_equal(labels[:, 1:], labels[:, :-1], out=changes[:, 1:])
    starts = np.flatnonzero(changes)
    ends = np.append(starts[1:], labels.size)
    values = labels.reshape(-1)[starts]
    message = ClassMasks(header=header, height=height, width=width)
    for class_id in sorted(wanted):
        runs = values == class_id
        if runs.any():
            mask = _encode(starts[runs], ends[runs], width)
            mask.class_id, mask.class_name = class_id, names[class_id]
            message.masks.append(mask)
    return message


def _encode(starts: NDArray[np.intp], ends: NDArray[np.intp], width: int) -> ClassMask:
    rows, left = np.divmod(starts, width)
    right = left + (ends - starts)
    top, x = int(rows[0]), int(left.min())
    roi = RegionOfInterest(
        x_offset=x, y_offset=top, height=int(rows[-1]) + 1 - top, width=int(right.max()) - x
    )
    first = (rows - top) * roi.width + left - x  # pixels within the region of interest
    last = first + (ends - starts)
    # A run that fills the region's width goes on in the next row.
    apart = last[:-1] != first[1:]
    first, last = first[np.append(True, apart)], last[np.append(apart, True)]
    edges = np.column_stack((first, last)).reshape(-1)
    area = roi.width * roi.height
    lengths = np.diff(edges, prepend=0, append=area)
    if edges[-1] == area:
        lengths = lengths[:-1]
    return ClassMask(
        pixel_count=int((ends - starts).sum()),
        roi=roi,
        run_lengths=array.array("I", lengths.astype(np.uint32).tobytes()),
    )


def decode_mask(mask: ClassMask, height: int, width: int) -> NDArray[np.bool_]:
    """Return where the full image of ``height`` x ``width`` pixels has the mask's class, (H, W).

    ValueError if the region of interest, the runs and the pixel count do not fit together.
    """
    roi = mask.roi
    if roi.x_offset + roi.width > width or roi.y_offset + roi.height > height:
        raise ValueError(
            f"expected a region of interest inside {width}x{height} px, got "
            f"{roi.width}x{roi.height} at ({roi.x_offset}, {roi.y_offset})"
        )
    lengths = np.asarray(mask.run_lengths, np.int64)
    if lengths.sum() != roi.width * roi.height or lengths[1::2].sum() != mask.pixel_count:
        raise ValueError(
            f"expected runs over {roi.width * roi.height} pixels, {mask.pixel_count} of them of "
            f"the class, got {lengths.sum()} and {lengths[1::2].sum()}"
        )
    inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    full = np.zeros((height, width), bool)
    full[roi.y_offset : roi.y_offset + roi.height, roi.x_offset : roi.x_offset + roi.width] = (
        inside.reshape(roi.height, roi.width)
    )
    return full


def status_message(ticket: Ticket, now_ns: int, now_s: float) -> FrameStatus:
    """Return what became of a packet; ``now_ns`` is on the stamps' clock, ``now_s`` monotonic.

    A clock at 0 is simulated time that has not begun: by it nothing has an age.
    """
    message = FrameStatus(
        header=ticket.header,
        frame_type=_FRAME_TYPES[ticket.kind],
        path=FrameStatus.PATH_NONE,
        chain_intact=ticket.intact,
        waiting=ticket.waiting,
        reason=ticket.reason,
        caveat=ticket.caveat,
        frames_skipped=ticket.frames_skipped,
        packets_dropped=ticket.packets_dropped,
        decode_ms=ticket.decode_ms,
        total_ms=(now_s - ticket.arrival_s) * 1e3,
        age_ms=(now_ns - ticket.stamp_ns) / 1e6 if now_ns and ticket.stamp_ns else math.nan,
    )
    if ticket.segmentation is not None:
        times_ms = ticket.segmentation.times_ms
        message.path = _PATHS[ticket.segmentation.path]
        message.frames_since_key = ticket.segmentation.distance
        message.inference_ms = float(times_ms["input"] + times_ms["network"] + times_ms["output"])
    return message
