"""A drive with labels of its own as a clip, and as a trial."""

from dataclasses import replace

import numpy as np
import pytest

from twnet_ros.codec import ClipEncoder, FrameKind, Packet, VideoInfo
from twnet_ros.learn.data.still import DataError
from twnet_ros.learn.evaluation.drive import Drive, drive_trial
from twnet_ros.learn.evaluation.evaluate import score
from twnet_ros.segment import Network, Segmenter
from twnet_ros.segment.palette import UNLABELLED
from twnet_ros.segment.replay import decode

STEP_NS = 10**8


@pytest.fixture
def open_drive(pan_over):
    """Make what opens a video of so many frames, without the packets of some numbers."""

    def make(count=7, gop=3, lost=(), width=96, height=64):
        frames = pan_over(count, width=width, height=height, square=8, blur=6)
        encoder = ClipEncoder("h264", width, height, gop=gop, fps=10.0)
        packets = [p for rgb in frames for p in encoder.encode(rgb)]
        kept = [
            Packet(p.data, 5 * STEP_NS + n * STEP_NS, p.key)
            for n, p in enumerate(packets)
            if n not in lost
        ]
        info = VideoInfo("h264", width, height, 10.0, len(kept), False)
        return lambda path: (info, iter(kept))

    return make


def truth(*numbers, shape=(64, 96)):
    """Labels of frames by their numbers."""
    return [(5 * STEP_NS + n * STEP_NS, np.full(shape, n % 3, np.uint8)) for n in numbers]


def test_frames_come_with_their_labels_each_time(open_drive):
    drive = Drive("drive", open_drive(), truth(0, 4, 6, 50))
    assert (len(drive), drive.labelled, drive.keys) == (7, [0, 4, 6], [0, 3, 6])
    assert (drive.missed, drive.has_leaves) == (1, False)
    for _ in range(2):
        pairs = list(drive)
        assert [frame.index for frame, _ in pairs] == list(range(7))
        for number, (_, ids) in enumerate(pairs):
            expected = number % 3 if number in (0, 4, 6) else UNLABELLED
            np.testing.assert_array_equal(ids, np.full((64, 96), expected))


def test_frames_whose_reference_is_lost_are_left_out(open_drive):
    drive = Drive("drive", open_drive(lost=(0, 4)), truth(*range(7)))
    assert [frame.pts // STEP_NS - 5 for frame, _ in drive] == [3, 6]
    assert (drive.labelled, drive.keys, drive.missed) == ([0, 1], [0, 1], 5)


def test_labels_that_fit_no_frame(open_drive):
    with pytest.raises(DataError, match="drive: expected labels with the times of frames, got no"):
        Drive("drive", open_drive(), truth(50))
    with pytest.raises(DataError, match=r"expected labels of the video's size \(64, 96\), got"):
        Drive("drive", open_drive(), truth(1, shape=(32, 48)))


def test_labels_of_one_time(open_drive):
    with pytest.raises(
        DataError, match="expected labels with times of their own, got two at 5000"
    ):
        Drive("drive", open_drive(), [*truth(0, 1), *truth(0)])


def test_the_greatest_distance_is_one_that_has_labels(open_drive):
    trial, _ = drive_trial("drive", open_drive(), truth(0, 1, 4))
    assert (trial.distances, trial.scored, trial.last) == ([0, 1, 2, 0, 1, 2, 0], [0, 1, 4], 1)


def test_every_labelled_frame_of_a_trial_is_scored(open_drive, network):
    trial, size = drive_trial("drive", open_drive(), truth(*range(7)))
    assert size == (96, 64)
    assert (trial.distances, trial.last) == ([0, 1, 2, 0, 1, 2, 0], 2)
    assert (trial.coding.gop, trial.coding.codec) == (3, "h264")
    assert trial.text.startswith("a drive of 7 frames, 7 of which are scored, in h264, 3 I-frames")
    assert "no whole frame" not in trial.text
    assert {clip for clip, _ in trial.shown} == {0}
    model = network()
    found = score(model, trial.clips, "twnet", show=trial.shown)
    assert found.keys == pytest.approx(3 / 7)
    assert set(found.tally.shown) == set(trial.shown)
    # The same by hand.
    segmenter = Segmenter(Network(model, "cpu", "fp32"))
    right = 0
    for frame, ids in trial.clips[0]:
        (result,) = segmenter.step(frame)
        right += int((result.labels == ids).sum())
    assert int(np.trace(found.total().counts)) == right
    assert int(found.total().counts.sum()) == 7 * 64 * 96


def test_some_frames_of_a_trial(open_drive):
    trial, _ = drive_trial("drive", open_drive(), truth(0, 1, 2, 4), every=2)
    assert "3 of which are scored" in trial.text
    assert trial.distances == [0, 1, 2, 3, 0, 1, 0]  # the I-frame 3 is skipped: 4 takes the step
    assert trial.coding.gop == 3
    late, _ = drive_trial("drive", open_drive(lost=(5,)), [*truth(*range(7)), *truth(40)])
    assert late.text.endswith("; 2 labels have the time of no whole frame")
    assert [number for _, number in trial.shown] == [0, 2, 4]
    with pytest.raises(DataError, match="--every 2: expected to meet a labelled frame"):
        drive_trial("drive", open_drive(), truth(1, 3), every=2)


def test_of_b_frames_none_are_skipped(open_drive, monkeypatch):
    def decode_as_b(*given):
        for frame in decode(*given):
            yield replace(frame, kind=FrameKind.B) if frame.index == 4 else frame

    monkeypatch.setattr("twnet_ros.learn.evaluation.drive.decode", decode_as_b)
    with pytest.raises(DataError, match="--every 2: expected a drive without B-frames, got drive"):
        drive_trial("drive", open_drive(), truth(*range(7)), every=2)
    assert len(drive_trial("drive", open_drive(), truth(*range(7)))[0].distances) == 7
