"""Evaluation over real sequences: the labelled frame alone, at the distance asked for."""

import numpy as np
import pytest

from twnet_ros.codec import FrameKind
from twnet_ros.learn.data.cache import ClipCache
from twnet_ros.learn.data.cityscapes import read_split
from twnet_ros.learn.data.clip import Coding, transcode
from twnet_ros.learn.data.dataset import open_data
from twnet_ros.learn.data.snippet import Snippet, read_frame
from twnet_ros.learn.data.source import SnippetSource
from twnet_ros.learn.data.still import DataError
from twnet_ros.learn.evaluation.evaluate import labelled_clips, score
from twnet_ros.learn.evaluation.method import METHODS, USUAL, engine
from twnet_ros.learn.evaluation.metric import Confusion
from twnet_ros.learn.evaluation.report import report
from twnet_ros.net import Config, TWNet, save_checkpoint
from twnet_ros.segment.palette import CITYSCAPES

SIZE = (32, 16)
CODING = Coding(gop=12, bits_per_pixel=1.0)


@pytest.fixture
def root(cityscapes_folder):
    """Two cities in Cityscapes' layout, with snippets."""
    return cityscapes_folder(snippets=True)


@pytest.fixture
def real(root):
    return SnippetSource(root, *read_split(root, "val"), SIZE)


@pytest.fixture
def clips(real, tmp_path):
    """Make the clips for some distances."""

    def make(*distances, count=None, seed=1, coding=CODING):
        kept = ClipCache(tmp_path / "kept", real.root)
        return labelled_clips(real, kept, coding, distances, count, seed)

    return make


@pytest.fixture
def model():
    return TWNet(Config("mobilenetv1", 1, CITYSCAPES.names, CITYSCAPES.colors, (64, 32))).eval()


@pytest.mark.parametrize("distance", [0, 5, 19])
def test_a_clip_goes_from_the_key_frame_to_the_labelled_frame(clips, real, distance):
    found = clips(distance)
    assert [len(clip) for clip in found] == 2 * [distance + 1]
    for number, (snippet, clip) in enumerate(zip(real.snippets, found, strict=True)):
        for frame, truth in clip:
            assert (frame.kind is FrameKind.I) == (frame.index == 0)
            source = read_frame(snippet.frames[19 - distance + frame.index], SIZE)
            luma = source @ np.array([0.299, 0.587, 0.114]) * 219 / 255 + 16
            assert np.abs(frame.y - luma).mean() < 20
            if frame.index < distance:
                assert (truth == 255).all()
        np.testing.assert_array_equal(truth, real.stills.read(number)[1])


@pytest.mark.parametrize("method", METHODS)
def test_exactly_the_labelled_frame_is_scored(clips, real, model, method):
    distance = 5
    found = score(model, clips(distance), method)
    expected = Confusion(19)
    for number, snippet in enumerate(real.snippets):
        truth = real.stills.read(number)[1]
        frames = [(read_frame(path, SIZE), truth) for path in snippet.frames[14:20]]
        segmenter = engine(model, method, "cpu", "fp32")
        for frame, _ in transcode(frames, CODING):
            last = segmenter.step(frame)
        (last,) = last[-1:] or segmenter.flush()[-1:]
        expected.add(truth, last.labels)
    assert [confusion.counts.any() for confusion in found.by_frame] == 5 * [False] + [True]
    np.testing.assert_array_equal(found.by_frame[distance].counts, expected.counts)
    assert found.total().counts.sum() == np.sum(
        [np.count_nonzero(real.stills.read(number)[1] != 255) for number in range(2)]
    )


def test_labels_on_the_way_are_not_scored(clips, real, model):
    one = real.snippets[0]
    real.snippets = [Snippet(one.frames, {16: one.labels[19], 19: one.labels[19]})]
    found = score(model, clips(5), "per_frame")
    assert [confusion.counts.any() for confusion in found.by_frame] == 5 * [False] + [True]
    assert found.total().counts.sum() == 2 * 32 * 16
    # Frame 3 has too few frames before it to be 5 from a key frame.
    real.snippets = [Snippet(one.frames, {3: one.labels[19], 19: one.labels[19]})]
    assert len(clips(5)) == 1


def test_distances_are_drawn_within_a_gop(clips, real):
    real.snippets *= 40
    lengths = [len(clip) for clip in clips(coding=Coding(gop=4))]
    assert set(lengths) == {1, 2, 3, 4}
    assert min(np.bincount(lengths)[1:]) >= 10
    assert lengths == [len(clip) for clip in clips(coding=Coding(gop=4))]
    assert lengths != [len(clip) for clip in clips(coding=Coding(gop=4), seed=2)]


def test_a_sweep_scores_the_same_frames_at_each_distance(clips, model):
    found = score(model, clips(0, 1, 3), "twnet")
    pixels = [int(confusion.counts.sum()) for confusion in found.by_frame]
    assert pixels[2] == 0 and pixels[0] == pixels[1] == pixels[3] > 0
    assert all(np.isfinite(found.context_rms))
    by_distance = [confusion.miou() for confusion in found.by_distance(range(4))]
    assert np.isnan(by_distance[2])
    for distance in (0, 1, 3):
        assert by_distance[distance] == found.by_frame[distance].miou()


def test_as_many_as_asked_for(clips):
    assert len(clips(2, count=1)) == 1
    assert len(clips(2, count=9)) == 2


def test_distances_that_no_frame_has(clips):
    with pytest.raises(DataError, match="expected distances of at most 19, .*, got 20"):
        clips(0, 20)
    with pytest.raises(DataError, match="expected distances from 0 on, got -1"):
        clips(-1)


@pytest.fixture
def saved(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model)
    return str(path)


OPTIONS = {"frames": None, "gop": 12, "bits_per_pixel": 1.0, "device": "cpu", "precision": "fp32"}


def test_the_report_takes_the_sequences(root, saved, capsys):
    data = open_data(str(root), None, SIZE, [])
    found = report([saved], data, clips=None, distances=[3], **OPTIONS)["model"]
    assert list(found) == list(USUAL)
    assert all(one.by_frame[3].counts.any() and len(one.by_frame) == 4 for one in found.values())
    out = capsys.readouterr().out
    assert "2 clips that lead up to the labelled frames of real sequences, GOP 12" in out
    assert "| model | method | 3 |" in out
    assert "## IoU by category" in out
    assert len(list(root.with_name("cityscapes.clips").rglob("*.avi"))) == 2


def test_the_report_takes_every_distance_only_where_it_can(root, saved, still_folder):
    data = open_data(str(root), None, SIZE, [])
    with pytest.raises(DataError, match="--every 2: expected --distance and multiples of 2"):
        report([saved], data, clips=None, every=2, distances=[3], **OPTIONS)
    found = report([saved], data, clips=1, every=2, distances=[4], **OPTIONS)
    assert found["model"]["twnet"].by_frame[4].counts.any()
    with pytest.raises(DataError, match="interp_mv: .* second key frame, .* got real sequences"):
        report([saved], data, clips=1, methods=["interp_mv"], **OPTIONS)
    with pytest.raises(DataError, match="--frames: expected none, as clips of real sequences"):
        report([saved], data, clips=1, **OPTIONS | {"frames": 36})
    stills = open_data(str(still_folder()), None, (96, 64), ["A"])
    with pytest.raises(DataError, match="--distance: expected real sequences"):
        report([saved], stills, clips=1, distances=[3], **OPTIONS)
