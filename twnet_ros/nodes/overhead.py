"""What the node adds to decoding and inference."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from twnet_ros.codec import read_packets
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.collector import stream

WARM_UP = 6  # frames that do not count


def node_overhead(
    clip: Path, model: Path, rate: float, device: str, precision: str
) -> dict[str, float]:
    """Play a video file to a segment node in a process of its own; return its ``overhead``.

    ``rate`` is in packets a second: one at which no packet waits for another. ValueError for a
    video with B-frames, whose labels wait for later packets.
    """
    info, _ = read_packets(clip)
    if info.reorders:
        raise ValueError(f"{clip}: expected a video without B-frames, whose labels wait")
    settings = {"device": device, "precision": precision}
    collection = stream(clip, str(model), 1, lambda number, ids: None, rate, settings)
    return {**overhead(collection.statuses[WARM_UP:]), "rate_hz": rate}


def overhead(statuses: Iterable[FrameStatus]) -> dict[str, float]:
    """Return ``median`` and ``p95`` in ms of what is neither decoding nor inference, and frames.

    It is the time from the callback that takes a packet to the status, which follows the labels'
    publication. ValueError where no frame was labelled.
    """
    spent = [
        status.total_ms - status.decode_ms - status.inference_ms
        for status in statuses
        if status.path != FrameStatus.PATH_NONE
    ]
    if not spent:
        raise ValueError("expected labels from the segment node, got none")
    median, late = np.percentile(spent, [50, 95])
    return {"median": round(float(median), 3), "p95": round(float(late), 3), "frames": len(spent)}
