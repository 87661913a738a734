"""Damage on purpose: what is done, what is noticed, and that every packet is accounted for."""

import cv2
import numpy as np
import pytest

from twnet_ros.codec import CodecError, StreamDecoder, read_packets, write_clip
from twnet_ros.segment import Segmenter, SegmentError
from twnet_ros.segment.chaos import FAULTS, damage, run
from twnet_ros.segment.replay import replay

CLIPS = {"h264": "clip.mp4", "mpeg4": "clip.avi"}
SEEDS = range(10)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A noisy scene of 72 frames in both codecs, GOP 12: noise makes the packets long."""
    folder = tmp_path_factory.mktemp("chaos")
    rng = np.random.default_rng(0)
    world = rng.integers(0, 256, (16, 40, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    shown = np.array([world[n % 24 :, 2 * n :][:64, :96] for n in range(72)])
    frames = np.clip(shown + rng.integers(-12, 13, shown.shape), 0, 255).astype(np.uint8)
    rates = {"h264": {}, "mpeg4": {"bitrate": 400_000}}
    for codec, name in CLIPS.items():
        write_clip(folder / name, frames, codec=codec, gop=12, **rates[codec])
    return {codec: folder / name for codec, name in CLIPS.items()}


PACKETS = [(bytes([n] * (n + 9)), n % 4 == 0) for n in range(200)]


def test_no_faults_are_no_damage():
    sent = damage(PACKETS, dict.fromkeys(FAULTS, 0.0), 3)
    assert [(packet.data, packet.key) for packet in sent] == PACKETS
    assert not any(packet.faults for packet in sent)


def test_the_seed_decides():
    rates = dict.fromkeys(FAULTS, 0.2)
    assert damage(PACKETS, rates, 1) == damage(PACKETS, rates, 1)
    assert damage(PACKETS, rates, 1) != damage(PACKETS, rates, 2)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_what_it_says(fault):
    sent = damage(PACKETS, {fault: 0.2}, 0)
    hit = [packet for packet in sent if packet.faults]
    assert 20 < len(hit) < 60
    assert {packet.faults for packet in hit} == {(fault,)}
    numbers = [packet.number for packet in sent]
    assert [n for n in range(200) if n not in numbers] == []
    for packet in hit:
        whole, _ = PACKETS[packet.number]
        at = sent.index(packet)
        assert packet.lost == (fault == "loss")
        if fault == "duplicate":
            assert sent[at - 1].data == packet.data == whole
            assert sent[at - 1].number == packet.number
        elif fault == "reorder":
            assert packet.data == whole
            assert numbers[at - 1] == packet.number + 1 or numbers[at + 1] == packet.number - 1
        elif fault == "truncate":
            assert len(packet.data) < len(whole)
            assert whole.startswith(packet.data)
        elif fault == "flip":
            changed = np.frombuffer(packet.data, np.uint8) ^ np.frombuffer(whole, np.uint8)
            assert np.unpackbits(changed).sum() == 1
    assert (numbers == sorted(numbers)) == (fault != "reorder")


def test_one_probability_does_not_change_what_another_hits():
    alone = [packet.number for packet in damage(PACKETS, {"loss": 0.1}, 5) if packet.lost]
    both = damage(PACKETS, {"loss": 0.1, "flip": 0.5, "duplicate": 0.5}, 5)
    assert [packet.number for packet in both if packet.lost] == alone


@pytest.mark.parametrize("rates", [{"loss": 1.5}, {"flip": -0.1}, {"fire": 0.1}])
def test_other_probabilities_are_refused(rates):
    with pytest.raises(SegmentError, match="expected probabilities from 0 to 1"):
        damage(PACKETS, rates, 0)


def check(summary):
    """What holds whatever was done."""
    assert summary["unaccounted_for"] == 0
    accounted = sum(summary["accounted_for"].values())
    assert summary["sent"] == summary["published"] + accounted
    assert summary["sound_published"] >= 0.95 * summary["sound"]
    for counts in (summary, *summary["faults"].values()):
        outcomes = counts["noticed"] + counts["unnoticed"] + counts["harmless"]
        assert counts["damaged"] == outcomes
    assert bool(summary["wrong_frames_published"]) == bool(summary["unnoticed"])


def test_a_clip_that_ends_in_damage_is_gone_through(clips, monkeypatch):
    flush, flushed = StreamDecoder.flush, []

    def damaged(decoder):
        flushed.append(decoder)
        if flushed.count(decoder) == 1:
            raise CodecError("a test")
        return flush(decoder)

    monkeypatch.setattr(StreamDecoder, "flush", damaged)
    summary = run(clips["h264"], {}, 0)
    check(summary)
    assert summary["published"] == 72


@pytest.mark.parametrize("codec", CLIPS)
def test_an_undamaged_clip(codec, clips):
    summary = run(clips[codec], {}, 0)
    check(summary)
    assert (summary["sent"], summary["published"], summary["sound"]) == (72, 72, 72)
    assert summary["codec"] == codec
    assert summary["accounted_for"] == {}
    assert summary["damaged"] == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", [*FAULTS[:-1], "all"])
def test_h264_publishes_nothing_wrong(fault, seed, clips):
    """Bits that were inverted apart, which no decoder can tell in every small picture."""
    rates = {name: 0.05 for name in FAULTS[:-1] if fault in (name, "all")}
    summary = run(clips["h264"], rates, seed)
    check(summary)
    assert summary["wrong_frames_published"] == 0
    assert summary["unnoticed"] == 0
    if fault in ("duplicate", "reorder"):
        assert summary["noticed"] == summary["damaged"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", FAULTS[:-1])
def test_mpeg4_publishes_nothing_wrong_once_it_knows_the_cadence(fault, seed, clips):
    summary = run(clips["mpeg4"], {fault: 0.05}, seed)
    check(summary)
    # Before three pictures have come, a gap in the cadence is none.
    assert summary["wrong_frames_published"] <= 1
    assert summary["unnoticed"] <= 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("codec", CLIPS)
def test_everything_at_once_is_accounted_for(codec, seed, clips):
    summary = run(clips[codec], dict.fromkeys(FAULTS, 0.05), seed)
    check(summary)
    assert set(summary["accounted_for"]) <= {
        "lost",
        "decode_error",
        "left_out",
        "waiting_for_key_frame",
        "held_back_at_a_fault",
    }


@pytest.mark.parametrize("codec", CLIPS)
def test_unnoticed_damage_is_counted(codec, clips, monkeypatch):
    """A decoder that says nothing of losses publishes wrong frames, and that is seen."""
    monkeypatch.setattr(StreamDecoder, "_heed", lambda *_: [])
    summary = run(clips[codec], {"loss": 0.05}, 1)
    assert summary["unnoticed"] > 0
    assert summary["wrong_frames_published"] > summary["unnoticed"]
    assert summary["faults"]["loss"]["unnoticed"] == summary["unnoticed"]


@pytest.mark.parametrize("codec", CLIPS)
def test_labels_are_those_of_the_undamaged_clip(codec, clips, model, tmp_path):
    folder = tmp_path / "deep" / "labels"
    settings = {"model": str(model), "device": "cpu", "precision": "fp32"}
    rates = dict.fromkeys(FAULTS[:-1], 0.05)
    summary = run(clips[codec], rates, 4, labels=folder, **settings)
    assert summary["wrong_frames_published"] == 0
    written = sorted(folder.iterdir())
    assert 0 < len(written) <= summary["published"]
    segmenter = Segmenter.load(model, "cpu", "fp32")
    expected = {f"{f.index:05d}.png": r.labels for f, r in replay(clips[codec], segmenter)}
    for file in written:
        labels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(labels, expected[file.name])


def test_b_frames_are_accounted_for(drive, tmp_path):
    clip = drive("street_2048x1024_h264_bframes.mp4")
    assert read_packets(clip)[0].codec == "h264"
    summary = run(clip, {"loss": 0.1, "duplicate": 0.05, "reorder": 0.05}, 0)
    check(summary)
    assert summary["wrong_frames_published"] == 0
