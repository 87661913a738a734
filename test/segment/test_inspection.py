"""What the codec knows of each frame, pixel by pixel."""

from dataclasses import replace

import numpy as np
import pytest

from twnet_ros.codec import CodecError, write_clip
from twnet_ros.segment.inspection import inspect, inspections


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_side_data_has_the_video_s_size(clip, codec):
    found = list(inspect(clip(5, gop=3, codec=codec, width=104, height=56)))
    assert [f.frame.kind.value for f in found] == list("IPPIP")
    assert [f.frame.index for f in found] == list(range(5))
    for one in found:
        assert one.motion.shape == (56, 104, 2) and one.motion.dtype == np.float32
        assert one.coded.shape == (56, 104) and one.coded.dtype == np.bool_
        assert one.residual.shape == (56, 104, 3) and one.residual.dtype == np.float32


def test_an_i_frame_has_none(clip):
    for one in inspect(clip(4, gop=2)):
        if one.frame.key:
            assert not (one.motion.any() or one.coded.any() or one.residual.any())
            assert one.summary()["vector_blocks"] == 0
            assert one.summary()["intra_share"] == 1
            assert one.summary()["mean_motion_px"] == 0
        else:
            assert one.coded.any()


@pytest.mark.parametrize("dx, dy", [(4, 0), (-3, 0), (0, 4), (0, -5), (3, 2)])
def test_the_source_is_where_a_panning_camera_saw_it_before(clip, dx, dy):
    """The camera moves by (dx, dy), so what is at p was at p + (dx, dy) one frame before."""
    for one in inspect(clip(4, gop=12, width=176, height=144, dx=dx, dy=dy)):
        if not one.frame.key:
            inside = one.motion[16:-16, 16:-16][one.coded[16:-16, 16:-16]]
            assert np.median(inside, 0).tolist() == [dx, dy]


def test_motion_is_zero_where_there_is_no_vector(clip):
    flash = [np.full((64, 96, 3), 10, np.uint8)]
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    path = clip()
    write_clip(path, [*flash, noise, *flash], codec="mpeg4", gop=12, bitrate=4e6)
    uncoded = 0
    for one in inspect(path):
        assert not one.motion[~one.coded].any()
        uncoded += 0 if one.frame.key else int((~one.coded).sum())
    assert uncoded  # intra blocks in a P-frame


def test_the_pixels_are_those_of_the_blocks(clip):
    for one in inspect(clip(3, width=104, height=60)):
        if one.frame.motion is not None:
            blocks = one.frame.motion
            for row, column in np.ndindex(blocks.reference.shape):
                window = np.s_[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
                assert (one.motion[window] == blocks.displacement[row, column]).all()
                assert (one.coded[window] == blocks.coded[row, column]).all()


def test_nothing_remains_of_a_static_clip_but_what_the_encoder_changed(clip):
    before = None
    for one in inspect(clip(6, gop=12, dx=0)):
        luma = one.frame.y.astype(np.float32)
        if before is not None:
            still = ~one.motion.any(-1)
            assert still.mean() > 0.9
            np.testing.assert_array_equal(one.residual[still, 0], (luma - before)[still])
            assert (one.residual[still, 0] == 0).mean() > 0.5
            assert np.abs(one.residual).mean() < 2
        before = luma


def test_vectors_leave_less_than_no_motion_would(clip):
    before = None
    for one in inspect(clip(4, gop=12, width=176, height=144, dx=5)):
        luma = one.frame.y.astype(np.float32)
        if before is not None:
            assert np.abs(one.residual[..., 0]).mean() < 0.5 * np.abs(luma - before).mean()
        before = luma


def test_there_is_no_residual_against_a_frame_that_was_lost(coded, pan):
    frames = coded(pan(4), gop=12)
    frames[2] = replace(frames[2], follows=False)
    assert [one.residual.any() for one in inspections(frames)] == [False, True, False, True]


def test_there_is_no_residual_against_a_frame_that_was_left_out(coded, pan):
    frames = coded(pan(4), gop=12)
    left = [frames[0], *frames[2:]]  # as where frame 1 was not labelled
    assert [one.residual.any() for one in inspections(left)] == [False, False, True]


def test_the_summary_is_that_of_the_pixels(clip):
    for one in inspect(clip(4, gop=3, width=176, height=144)):
        summary = one.summary()
        assert summary["type"] == one.frame.kind.value
        assert summary["frame"] == one.frame.index
        assert summary["intact"] is True
        assert summary["vector_blocks"] * 64 == one.coded.sum()
        assert summary["intra_share"] == pytest.approx((~one.coded).mean(), abs=1e-4)
        length = np.sqrt((one.motion.astype(float) ** 2).sum(-1))[one.coded]
        mean = length.mean() if length.size else 0
        assert summary["mean_motion_px"] == pytest.approx(mean, abs=1e-3)
        level = np.abs(one.residual[..., 0]).mean()  # luma, as `key_residual` takes it
        assert summary["residual_level"] == pytest.approx(level, abs=1e-3)


def test_a_missing_file(tmp_path):
    with pytest.raises(CodecError, match="expected a video file"):
        next(inspect(tmp_path / "none.avi"))
