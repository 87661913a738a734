"""Watching the engine label a file."""

import itertools
import os
from collections.abc import Iterator

from twnet_ros.codec import OpenVideo, read_packets
from twnet_ros.segment.contact import COLUMNS, four_panes, side_pictures
from twnet_ros.segment.inspection import inspections
from twnet_ros.segment.picture import Picture
from twnet_ros.segment.render import render_overlay
from twnet_ros.segment.replay import replay
from twnet_ros.segment.segmentation import Path
from twnet_ros.segment.segmenter import Segmenter


def watch(
    clip: str | os.PathLike[str], segmenter: Segmenter, read: OpenVideo = read_packets
) -> Iterator[Picture]:
    """Yield each labelled frame of a video, which ``read`` opens, as four panes (RGB).

    They are picture, motion, residual and the labels' colours over the picture, below a title with
    the step that the frame took and its time from packet to labels.
    """
    results, frames = itertools.tee(replay(clip, segmenter, read))
    side = inspections(frame for frame, _ in frames)
    for (frame, result), found in zip(results, side, strict=True):
        picture, motion, residual = side_pictures(found)
        overlay = render_overlay(picture, result.labels, segmenter.colors)
        step = "key" if result.path is Path.KEY else "non-key"
        title = f"frame {frame.index}, {frame.kind.value}, {step} step, "
        title += f"{result.times_ms['total']:.0f} ms"
        yield four_panes(COLUMNS, (picture, motion, residual, overlay), title)
