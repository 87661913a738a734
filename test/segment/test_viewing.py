"""Watching a file being labelled: every frame with its own motion and labels."""

import numpy as np

from twnet_ros.segment.contact import COLUMNS, four_panes, side_pictures
from twnet_ros.segment.inspection import inspect
from twnet_ros.segment.render import render_overlay, to_rgb
from twnet_ros.segment.segmentation import Path, Segmentation
from twnet_ros.segment.viewing import watch

COLORS = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]], np.uint8)


class LateSegmenter:
    """Labels a frame by its index, as an engine does that waits for the next anchor."""

    colors = COLORS
    waiting = ""

    def __init__(self, held):
        self._held, self._frames = held, []

    def _label(self, frame):
        labels = np.full(frame.y.shape, frame.index % len(COLORS), np.uint8)
        path = Path.KEY if frame.key else Path.NONKEY
        times = {"total": 7.0}
        return Segmentation(labels, frame.index, frame.pts, frame.kind, path, 0, times)

    def step(self, frame):
        self._frames.append(frame)
        if len(self._frames) <= self._held:
            return []
        return [self._label(self._frames.pop(0)) for _ in range(len(self._frames))]

    def flush(self):
        return [self._label(frame) for frame in self._frames]


def test_each_frame_has_its_own_panes_also_when_labels_come_late(clip):
    path = clip(8, gop=4)
    found = list(inspect(path))
    for held in (0, 2):
        watched = list(watch(path, LateSegmenter(held)))
        assert len(watched) == len(found)
        for one, got in zip(found, watched, strict=True):
            labels = np.full(one.frame.y.shape, one.frame.index % len(COLORS), np.uint8)
            overlay = render_overlay(to_rgb(one.frame), labels, COLORS)
            step = "key" if one.frame.key else "non-key"
            title = f"frame {one.frame.index}, {one.frame.kind.value}, {step} step, 7 ms"
            expected = four_panes(COLUMNS, (*side_pictures(one), overlay), title)
            np.testing.assert_array_equal(got, expected)
