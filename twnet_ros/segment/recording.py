"""Labelling a whole file and writing what comes of it."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path as FilePath

import numpy as np

from twnet_ros.codec import CodedFrame, OpenVideo, read_packets, write_clip
from twnet_ros.segment.picture import Picture, write_png
from twnet_ros.segment.remapping import Remapping
from twnet_ros.segment.render import crop_even, render_overlay, to_rgb
from twnet_ros.segment.replay import replay
from twnet_ros.segment.segmentation import Path, Segmentation, SegmentError
from twnet_ros.segment.segmenter import Segmenter

Labelled = tuple[CodedFrame, Segmentation]


def record(
    clip: str | os.PathLike[str],
    segmenter: Segmenter,
    *,
    overlay: FilePath | None,
    labels: FilePath | None,
    progress: Callable[[Iterable[Labelled], int | None], Iterable[Labelled]],
    read: OpenVideo = read_packets,
    remapping: Remapping | None = None,
) -> dict[str, object]:
    """Label a video; write the overlay (a video) and the labels (PNG) that are asked for.

    ``read`` opens the video, as a file unless another is given; ``remapping`` says which classes
    the labels are in, the model's unless another is given.
    ``progress`` is handed the frames and their expected number, and shows how far they are.
    Returns ``frames`` labelled, the ``key_steps`` among them, ``fps`` from packet to
    labels, the median milliseconds of both steps (None where there was none), and where it ran.
    """
    info, _ = read(clip)
    if labels is not None:
        labels.mkdir(parents=True, exist_ok=True)
    colors = segmenter.colors
    if remapping is not None:
        colors = np.array(remapping.class_set.colors, np.uint8)
    times: dict[Path, list[float]] = {Path.KEY: [], Path.NONKEY: []}

    def pictures() -> Iterator[Picture]:
        size: tuple[int, ...] | None = None
        results = progress(replay(clip, segmenter, read), info.frames)
        for frame, result in results:
            times[result.path].append(result.times_ms["total"])
            shown = result.labels if remapping is None else remapping.apply(result.labels)
            if labels is not None:
                write_png(labels / f"{frame.index:05d}.png", shown)
            if overlay is not None:
                rgb = to_rgb(frame)
                size = size or rgb.shape
                if rgb.shape != size:
                    raise SegmentError(
                        f"{clip}: expected pictures of one size for {overlay}, got {size[1]}x"
                        f"{size[0]} and, in frame {frame.index}, {rgb.shape[1]}x{rgb.shape[0]}"
                    )
                yield crop_even(render_overlay(rgb, shown, colors))

    if overlay is not None:
        write_clip(overlay, pictures(), codec="h264", gop=12, fps=info.fps, crf=20)
    else:
        list(pictures())  # yields nothing without an overlay
    every = times[Path.KEY] + times[Path.NONKEY]
    return {
        "frames": len(every),
        "key_steps": len(times[Path.KEY]),
        "fps": round(1e3 * len(every) / sum(every), 2) if every else None,
        "ms_key": _median(times[Path.KEY]),
        "ms_nonkey": _median(times[Path.NONKEY]),
        "device": segmenter.device,
        "precision": segmenter.precision,
    }


def _median(values: list[float]) -> float | None:
    return round(float(np.median(values)), 2) if values else None
