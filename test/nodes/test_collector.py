"""A video through a publisher and a segment node that are processes of their own, and back."""

import shutil
from pathlib import Path

import numpy as np

from twnet_ros.nodes.collector import stream
from twnet_ros.segment import Segmenter
from twnet_ros.segment.replay import replay

LEFT = 3  # pictures that may stay in the decoder at the end: two B-frames and their anchor


def test_labels_of_a_video_with_b_frames_come_back(reordered_clip, checkpoint, tmp_path):
    """Whatever the video is called: "#" begins a comment in YAML, in which parameters are."""
    reordered_clip = Path(shutil.copy(reordered_clip, tmp_path / "a: [drive] #1 für 🚗.mp4"))
    found = []

    def take(number, ids):
        assert number == len(found)
        found.append(ids.copy())

    settings = {"device": "cpu", "precision": "fp32"}
    collection = stream(reordered_clip, str(checkpoint), 19, take, settings=settings)
    assert len(collection.statuses) >= len(found) == len(collection.labelled) >= 13 - LEFT
    segmenter = Segmenter.load(checkpoint, **settings)
    expected = [result.labels for _, result in replay(reordered_clip, segmenter)]
    for one, other in zip(found, expected, strict=False):
        assert np.mean(one == other) > 0.99  # but for the order of sums on other threads
