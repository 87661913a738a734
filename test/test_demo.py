"""The demonstration's results, with what a perfect node would have published."""

import av
import numpy as np
import pytest

from twnet_ros.cli import demonstration as demo
from twnet_ros.msg import FrameStatus
from twnet_ros.nodes.collector import Collection
from twnet_ros.segment.picture import read_labels, write_png

SKIPPED, FRAMES = 2, 6


def perfect(clip, model, window, take_labels):
    """Stand in for the nodes: the street's own labels, of all frames but one."""
    collection = Collection(first_s=10.0, last_s=12.0)

    def report(stamp, frame_type, path, total_ms=0.0):
        status = FrameStatus(frame_type=frame_type, path=path, total_ms=total_ms)
        status.header.stamp.sec = stamp
        collection.statuses.append(status)

    report(1, FrameStatus.FRAME_UNKNOWN, FrameStatus.PATH_NONE)  # a packet without a picture
    for number in range(FRAMES):
        stamp, kind = number + 2, FrameStatus.FRAME_P if number else FrameStatus.FRAME_I
        if number == SKIPPED:
            report(stamp, kind, FrameStatus.PATH_NONE)
            continue
        truth = read_labels(clip.parent / "street" / "labels" / f"{number:05d}.png")
        take_labels(len(collection.labelled), truth)
        collection.labelled.append(stamp * 10**9)
        path = FrameStatus.PATH_NONKEY if number else FrameStatus.PATH_KEY
        report(stamp, kind, path, 10.0 * number)
    return collection


def stripes(out, frames, width, height, seed):
    """Stand in for a street, which takes its time: stripes of classes that move."""
    for number in range(frames):
        labels = np.tile((np.arange(width) // 8 + number) % 19, (height, 1)).astype(np.uint8)
        write_png(out / "labels" / f"{number:05d}.png", labels)
        write_png(out / "frames" / f"{number:05d}.png", 13 * labels[..., None].repeat(3, 2))


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Make the street short and small, and the nodes perfect."""
    for folder in ("frames", "labels"):
        (tmp_path / "street" / folder).mkdir(parents=True)
    monkeypatch.setattr(demo, "FRAMES", FRAMES)
    monkeypatch.setattr(demo, "SIZE", (160, 64))
    monkeypatch.setattr(demo, "write_street", stripes)
    monkeypatch.setattr(demo, "stream", perfect)


def test_of_a_video_with_b_frames_enough_packets_are_sent_ahead(
    reordered_clip, tmp_path, monkeypatch
):
    asked = []

    def labelled(clip, model, window, take_labels):
        asked.append((clip, model, window))
        collection = Collection(first_s=1.0, last_s=2.0)
        for number in range(13):
            status = FrameStatus(frame_type=FrameStatus.FRAME_P, path=FrameStatus.PATH_NONKEY)
            status.header.stamp.sec = number + 1
            collection.statuses.append(status)
            collection.labelled.append((number + 1) * 10**9)
            take_labels(number, np.zeros((48, 64), np.uint8))
        return collection

    monkeypatch.setattr(demo, "stream", labelled)
    table = demo.demonstrate(reordered_clip, tmp_path / "out")
    assert asked == [(reordered_clip, "camvid-mobilenetv1-layer1", 19)]
    assert "unknown (no ground truth)" in table
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 13


def test_labels_that_do_not_arrive_are_said_to_be_lost(reordered_clip, tmp_path, monkeypatch):
    def labelled(clip, model, window, take_labels):
        collection = Collection(first_s=1.0, last_s=2.0)
        for number in range(4):
            status = FrameStatus(frame_type=FrameStatus.FRAME_P, path=FrameStatus.PATH_NONKEY)
            status.header.stamp.sec = number + 1
            collection.statuses.append(status)
        collection.labelled.append(2 * 10**9)
        take_labels(0, np.zeros((48, 64), np.uint8))
        return collection

    monkeypatch.setattr(demo, "stream", labelled)
    table = demo.demonstrate(reordered_clip, tmp_path / "out").splitlines()
    assert "labelled           4 (0 key, 4 non-key)" in table
    assert "skipped            9" in table
    assert "labels lost        3 on their way here" in table


def test_without_any_labels_that_is_said(reordered_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "stream", lambda *_: Collection())
    with pytest.raises(ValueError, match="expected labels, got none"):
        demo.demonstrate(reordered_clip, tmp_path / "out")


def test_labels_are_scored_and_shown_with_the_pictures_that_they_are_of(small, tmp_path):
    table = demo.demonstrate(None, tmp_path).splitlines()
    assert {line[:18].strip(): line[19:] for line in table} == {
        "frames sent": "6",
        "labelled": "5 (1 key, 4 non-key)",
        "skipped": "1",
        "mIoU": "100.0 %",
        "frames per second": "3.0",
        "latency p50 / p95": "30 / 48 ms",
    }
    labels = sorted((tmp_path / "labels").iterdir())
    assert [path.name for path in labels] == [f"{n:05d}.png" for n in range(FRAMES - 1)]
    with av.open(str(tmp_path / "overlay.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == FRAMES - 1
    assert (tmp_path / "contact_sheet.png").is_file()
