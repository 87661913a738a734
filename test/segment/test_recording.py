"""Labelling a file: the summary, the labels, the overlay."""

import json
import re
from dataclasses import replace
from itertools import chain
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from coded import encode
from twnet_ros.codec import CodecError, Packet, VideoInfo, read_packets
from twnet_ros.segment import Path, Segmenter, SegmentError, read_remapping, recording, to_rgb
from twnet_ros.segment.recording import record
from twnet_ros.segment.replay import decode, replay

INFO = VideoInfo("h264", 96, 64, 17.0, None, True)


@pytest.fixture
def recorded(model):
    """Record a clip with the tiny model."""

    def run(clip, per_frame=False, **settings):
        fields = {"overlay": None, "labels": None, "progress": lambda frames, total: frames}
        segmenter = Segmenter.load(model, "cpu", "fp32", per_frame=per_frame)
        return record(clip, segmenter, **{**fields, **settings})

    return run


def test_the_summary(clip, recorded):
    totals = []

    def progress(frames, total):
        totals.append(total)
        return frames

    summary = recorded(clip(5, gop=3), progress=progress)
    timings = {"frames", "key_steps", "fps", "ms_key", "ms_nonkey"}
    assert set(summary) == timings | {"device", "precision"}
    assert (summary["frames"], summary["key_steps"]) == (5, 2)
    assert min(summary[name] for name in ("fps", "ms_key", "ms_nonkey")) > 0
    assert totals == [5]


def test_the_summary_s_times(clip, recorded, monkeypatch):
    times = [(Path.KEY, 30.0), (Path.NONKEY, 10.0), (Path.NONKEY, 20.0)]
    results = [SimpleNamespace(path=path, times_ms={"total": ms}, labels=0) for path, ms in times]
    monkeypatch.setattr(recording, "replay", lambda *_: [(None, one) for one in results])
    summary = recorded(clip(3))
    assert (summary["fps"], summary["ms_key"], summary["ms_nonkey"]) == (50.0, 30.0, 15.0)


def test_the_summary_of_key_steps_alone(clip, recorded):
    summary = recorded(clip(3, gop=12), per_frame=True)
    assert (summary["frames"], summary["key_steps"], summary["ms_nonkey"]) == (3, 3, None)


def test_the_labels_are_the_engine_s(clip, recorded, model, tmp_path):
    path = clip(5, gop=3, width=144, height=80)
    recorded(path, labels=tmp_path / "deep" / "labels")
    segmenter = Segmenter.load(model, "cpu", "fp32")
    expected = [r for frame in decode(path) for r in segmenter.step(frame)]
    written = sorted((tmp_path / "deep" / "labels").iterdir())
    assert [p.name for p in written] == [f"{i:05d}.png" for i in range(5)]
    for file, result in zip(written, expected, strict=True):
        labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, result.labels)


def test_the_overlay_plays(clip, recorded, tmp_path):
    path = clip(7, gop=4, width=144, height=80)
    recorded(path, overlay=tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == pytest.approx(17, abs=0.1)
        pictures = [p.to_ndarray(format="rgb24") for p in container.decode(stream)]
    assert len(pictures) == 7
    assert all(p.shape == (80, 144, 3) for p in pictures)
    assert {p.suffix for p in tmp_path.iterdir()} == {".avi", ".mp4"}


def test_labels_and_overlay_in_other_classes(clip, recorded, model, tmp_path):
    """All the model's classes become one, which is painted red."""
    names = Segmenter.load(model, "cpu", "fp32").classes
    stack = tmp_path / "stack.json"
    content = {"names": ["all"], "colors": [[255, 0, 0]], "sources": {"all": list(names)}}
    stack.write_text(json.dumps(content))
    overlay, labels = tmp_path / "overlay.mp4", tmp_path / "labels"
    remapping = read_remapping(stack, names)
    path = clip(2, gop=2, width=144, height=80)
    recorded(path, overlay=overlay, labels=labels, remapping=remapping)
    for file in labels.iterdir():
        assert not cv2.imread(str(file), cv2.IMREAD_UNCHANGED).any()
    with av.open(str(overlay)) as container:
        for picture, frame in zip(container.decode(video=0), decode(path), strict=True):
            added = picture.to_ndarray(format="rgb24").astype(float) - to_rgb(frame) / 2
            assert np.abs(added.mean((0, 1)) - (127.5, 0, 0)).max() < 4


def test_replay_pairs_each_frame_with_its_labels(clip, model):
    segmenter = Segmenter.load(model, "cpu", "fp32")
    pairs = list(replay(clip(5, gop=3), segmenter))
    assert [frame.index for frame, _ in pairs] == list(range(5))
    for frame, result in pairs:
        assert (frame.index, frame.pts, frame.kind) == (result.index, result.pts, result.kind)
        assert (result.path is Path.KEY) == frame.key


def test_frames_behind_a_broken_packet_are_left_out(clip, recorded, tmp_path, caplog):
    """Their labels are left out too, and the other labels keep their frames' numbers."""
    path = clip(8, gop=4)
    whole = tmp_path / "whole"
    recorded(path, labels=whole)

    def damaged(file):
        info, packets = read_packets(file)

        def some():
            for number, packet in enumerate(packets):
                data = packet.data[:20] if number == 2 else packet.data
                yield Packet(data, packet.pts_ns, packet.key)

        return info, some()

    summary = recorded(path, labels=tmp_path / "labels", read=damaged)
    assert summary["frames"] == 6
    assert "packet 2" in caplog.text
    # The damaged packet gives no frame: what follows it is decoded frame 2, not intact.
    names = sorted(p.name for p in (tmp_path / "labels").iterdir())
    assert names == [f"{i:05d}.png" for i in (0, 1, 3, 4, 5, 6)]
    after = cv2.imread(str(tmp_path / "labels" / "00003.png"), cv2.IMREAD_UNCHANGED)
    expected = cv2.imread(str(whole / "00004.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(after, expected)


@pytest.mark.parametrize(
    ("kept", "numbers", "said"),
    [
        ([0, 1, *range(3, 8)], [0, 1, 2, 3, 4, 5], "packet 2: .*frame_num"),
        (range(1, 8), [0, 1, 2, 3], "packet 0: waiting for a key frame"),
    ],
    ids=["one is missing", "it begins within a group"],
)
def test_packets_that_are_missing_are_told_once(clip, caplog, kept, numbers, said):
    info, packets = read_packets(clip(8, gop=4, codec="h264"))
    all_packets = list(packets)
    some = [all_packets[number] for number in kept]
    frames = [frame for frame in decode("clip", lambda _: (info, some)) if frame.intact]
    assert [frame.index for frame in frames] == numbers
    message, count = caplog.messages
    assert re.match(f"clip: {said}", message)
    assert re.match(rf"clip: {7 - len(numbers)} of 7 packets gave no frame", count)


def test_of_a_sound_video_whose_pictures_are_held_back_nothing_is_said(pan, tmp_path, caplog):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=17)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 6, 2
        for rgb in pan(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        container.mux(stream.encode(None))
    assert read_packets(path)[0].reorders
    assert sum(frame.intact for frame in decode(path)) == 10
    assert not [message for message in caplog.messages if "packet" in message]


def test_pixels_that_are_not_square_are_told(clip, caplog):
    info, packets = read_packets(clip(2))
    packets = list(packets)
    assert len(list(decode("clip", lambda _: (info, packets)))) == 2
    assert not caplog.messages
    wide = replace(info, pixel_aspect=4 / 3)
    assert len(list(decode("clip", lambda _: (wide, packets)))) == 2
    (message,) = caplog.messages
    assert "expected square pixels, got some 1.333 times as wide as high" in message


def test_an_overlay_is_of_one_size(clip, recorded, tmp_path):
    """The labels of what comes before another size are there, and the error names both."""
    small, large = (clip(2, name=f"{width}.avi", width=width, height=80) for width in (144, 160))

    def both(file):
        info, packets = read_packets(small)
        return info, chain(packets, read_packets(large)[1])

    told = "small: expected pictures of one size .*, got 144x80 and, in frame 2, 160x80"
    outputs = {"overlay": tmp_path / "overlay.mp4", "labels": tmp_path / "labels"}
    with pytest.raises(SegmentError, match=told):
        recorded("small", read=both, **outputs)
    assert not outputs["overlay"].exists()
    assert recorded("small", read=both)["frames"] == 4


def test_nothing_is_written_when_something_is_wrong(recorded, tmp_path):
    with pytest.raises(CodecError, match="expected a video file"):
        recorded(tmp_path / "none.avi", overlay=tmp_path / "o.mp4", labels=tmp_path / "labels")
    assert list(tmp_path.iterdir()) == []


def test_what_comes_before_a_damaged_end_is_decoded(pan, caplog):
    parameters = "slices=4:bframes=3:b-adapt=0:b-pyramid=normal:scenecut=0"
    data = encode("h264", pan(12), {"x264-params": parameters})
    data[-1] = data[-1][: data[-1].rindex(b"\0\0\1")]  # the last slice is lost
    packets = [Packet(one, number, False) for number, one in enumerate(data)]
    frames = list(decode("clip", lambda path: (INFO, packets)))
    assert len(frames) == 10  # all but that one and the one shown after it
    assert "clip: at its end: decode error" in caplog.text
