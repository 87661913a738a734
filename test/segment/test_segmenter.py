"""The streaming engine: which step runs when, what it keeps, and what it refuses."""

import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from twnet_ros.codec import BlockMotion, CodecError, FrameKind, StreamDecoder
from twnet_ros.learn.streets import Street
from twnet_ros.net import residual, residual_magnitude, to_grid
from twnet_ros.segment import KeyPolicy, Path, Segmenter, SegmentError, find_model, key_policy
from twnet_ros.segment import segmenter as segmenter_module
from twnet_ros.segment.fusion import fuse_by_torch, fuse_contexts
from twnet_ros.segment.input import Geometry, InputPass
from twnet_ros.segment.network import Network
from twnet_ros.segment.output import label


def uniform(grid, vector):
    displacement = np.broadcast_to(np.array(vector, np.float32), (*grid, 2)).copy()
    return BlockMotion(displacement, np.full(grid, -1, np.int8))


def run(segmenter, frames):
    return [result for frame in frames for result in segmenter.step(frame)]


def same(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)
        assert (a.index, a.path, a.distance) == (b.index, b.path, b.distance)


def test_key_frames_take_the_key_step_and_others_count_from_them(engine, coded, pan):
    results = run(engine(), coded(pan(8), gop=3))
    assert [r.kind.value for r in results] == list("IPPIPPIP")
    assert [r.path is Path.KEY for r in results] == [k == "I" for k in "IPPIPPIP"]
    assert [r.distance for r in results] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert [r.index for r in results] == list(range(8))


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_labels_have_the_video_s_size_and_the_model_s_classes(engine, coded, pan, codec):
    segmenter = engine()
    results = run(segmenter, coded(pan(3, width=144, height=112), codec, gop=12))
    for result in results:
        assert result.labels.shape == (112, 144)
        assert result.labels.dtype == np.uint8
        assert set(np.unique(result.labels)) <= set(range(len(segmenter.classes)))
        assert len(np.unique(result.labels)) > 1
        assert set(result.times_ms) == {"decode", "input", "network", "output", "total"}
        parts = sum(v for k, v in result.times_ms.items() if k != "total")
        assert result.times_ms["total"] == pytest.approx(parts, abs=1e-6)


def test_pts_are_passed_on(engine, packets, pan):
    decoder, segmenter = StreamDecoder("mpeg4"), engine()
    stamps = [10**18 + 7, 3, None]
    data = packets(pan(3))
    frames = [f for d, pts in zip(data, stamps, strict=True) for f in decoder.decode(d, pts)]
    assert [r.pts for r in run(segmenter, frames)] == stamps


@pytest.mark.parametrize("interval", [None, 2])
@pytest.mark.parametrize("correction", ["rga", "fusion"])
@pytest.mark.parametrize("backbone", ["mobilenetv1", "ddrnet23slim"])  # logits at 1/4 and 1/8
@torch.inference_mode()
def test_the_steps_are_the_network_s_on_what_the_codec_said(
    network, coded, pan, backbone, correction, interval
):
    """Follow the whole recurrence beside the engine, from its parts."""
    policy = KeyPolicy(interval)
    settings = {"backbone": backbone, "correction": correction}
    model = network(**settings)
    frames = coded(pan(4, width=176, height=112, dx=3, dy=-2), gop=12)
    results = run(Segmenter(Network(network(**settings), "cpu", "fp32"), policy=policy), frames)
    geometry = Geometry.of((176, 112), (96, 64))
    source = InputPass(geometry, model.config, torch.device("cpu"), torch.float32)
    state = previous = seen = None
    for frame, result in zip(frames, results, strict=True):
        picture, image = source.convert(frame)
        if frame.key:
            logits, state = model.key(image)
        else:
            motion, stride = source.motion(frame.motion).dense(), model.keyframe.stride
            missing = residual(picture, previous, motion)
            error = residual_magnitude(missing, stride)
            motion = to_grid(motion, stride)
            if frame.index == interval:
                past = state.context
                logits, state = model.key(image)
                state = replace(state, context=fuse_contexts(state.context, past, motion, error))
            else:
                logits, state = model.nonkey(image, motion, error, state)
            if correction == "fusion":
                logits = fuse_by_torch(logits, seen, source.motion(frame.motion), error)
        previous, seen = picture, logits
        assert (result.labels == label(logits, geometry)).mean() > 0.995
        assert (result.path is Path.KEY) == (frame.index in (0, interval))


def test_the_nonkey_step_is_another_than_the_key_step(engine, coded, pan):
    frames = coded(pan(4), gop=12)
    carried, alone = run(engine(), frames), run(engine(per_frame=True), frames)
    np.testing.assert_array_equal(carried[0].labels, alone[0].labels)
    assert any((a.labels != b.labels).any() for a, b in zip(carried[1:], alone[1:], strict=True))


def test_per_frame_takes_the_key_step_for_every_frame(engine, coded, pan):
    frames = coded(pan(5), gop=12)
    results = run(engine(per_frame=True), frames)
    assert all(r.path is Path.KEY and r.distance == 0 for r in results)
    fresh = engine()
    for frame, result in zip(frames, results, strict=True):
        fresh.reset()
        (expected,) = fresh.step(frame)
        np.testing.assert_array_equal(result.labels, expected.labels)


def test_the_same_clip_gives_the_same_labels(engine, coded, pan):
    frames = coded(pan(6), gop=4)
    segmenter = engine()
    first = run(segmenter, frames)
    same(first, run(engine(), frames))
    segmenter.reset()
    same(first, run(segmenter, frames))


def test_a_broken_chain_gives_nothing_and_says_why(engine, packets, pan):
    data = packets(pan(9), gop=4)  # I P P P I P P P I
    decoder, segmenter = StreamDecoder("mpeg4"), engine()
    whole = run(engine(), [f for d in data for f in decoder.decode(d)])
    decoder = StreamDecoder("mpeg4")
    results, waiting = {}, {}
    for number, packet in enumerate(data):
        try:
            frames = decoder.decode(packet[: len(packet) // 2] if number == 1 else packet)
        except CodecError:
            continue
        for frame in frames:
            found = segmenter.step(frame)
            waiting[number] = segmenter.waiting
            assert segmenter.waiting == frame.fault
            if found:
                results[number] = found[0]
            else:
                assert segmenter.waiting
                assert segmenter.state is None
    assert 1 not in results
    assert not {2, 3} & set(results)
    assert results[4].path is Path.KEY
    assert waiting[4] == ""
    for number in (0, 4, 5, 6, 7, 8):
        np.testing.assert_array_equal(results[number].labels, whole[number].labels)
        assert results[number].distance == whole[number].distance


def test_a_stream_joined_in_the_middle_starts_with_a_key_step(engine, coded, pan):
    frames = coded(pan(5), gop=12)
    segmenter = engine()
    run(segmenter, frames[:3])
    assert segmenter.state.distance == 2
    segmenter.reset()
    assert segmenter.state is None
    results = run(segmenter, frames[3:])
    assert results[0].kind is FrameKind.P
    assert [(r.path, r.distance) for r in results] == [(Path.KEY, 0), (Path.NONKEY, 1)]


def test_a_reset_says_nothing_about_waiting(engine, coded, pan):
    segmenter = engine()
    run(segmenter, coded(pan(2)))
    segmenter.reset()
    assert segmenter.waiting == ""
    assert segmenter.flush() == []


def test_another_size_starts_anew(engine, coded, pan):
    small, large = coded(pan(3)), coded(pan(3, width=160, height=96))
    segmenter = engine()
    together = run(segmenter, small + large[1:] + small)
    assert [r.labels.shape for r in together] == [(64, 96)] * 3 + [(96, 160)] * 2 + [(64, 96)] * 3
    assert together[3].path is Path.KEY  # a P-frame, but of another stream
    same(together[5:], run(engine(), small))


def test_two_segmenters_do_not_share_their_streams(engine, coded, pan):
    left, right = coded(pan(5, dx=4)), coded(pan(5, dx=-4, seed=8), gop=2)
    expected = run(engine(), left), run(engine(), right)
    one, two = engine(), engine()
    mixed = [(one.step(a)[0], two.step(b)[0]) for a, b in zip(left, right, strict=True)]
    same([a for a, _ in mixed], expected[0])
    same([b for _, b in mixed], expected[1])


def test_a_result_is_not_overwritten_by_the_next(engine, coded, pan):
    segmenter = engine()
    frames = coded(pan(4))
    first = segmenter.step(frames[0])[0].labels
    kept = first.copy()
    run(segmenter, frames[1:])
    np.testing.assert_array_equal(first, kept)


def test_a_static_clip_keeps_its_labels_in_layer_3(network, coded, pan):
    """Warp and classifier alone: nothing moves, so nothing changes."""
    model = network(layer=3)
    model.copy_key_parts()
    frames = coded(pan(4, dx=0), bitrate=4e6)
    first, *rest = run(Segmenter(Network(model, "cpu", "fp32")), frames)
    for result, frame in zip(rest, frames[1:], strict=True):
        assert result.path is Path.NONKEY
        assert not frame.motion.displacement.any()
        assert (result.labels == first.labels).mean() > 0.999


def test_the_input_size_is_the_checkpoint_s_unless_given(engine, coded, pan):
    assert engine().input_size == (96, 64)
    segmenter = engine(input_size=(64, 32))
    assert segmenter.input_size == (64, 32)
    (result,) = segmenter.step(coded(pan(1))[0])
    assert result.labels.shape == (64, 96)
    assert tuple(segmenter.state.context.shape[-2:]) == (2, 4)  # 48x32 in 64x32, 1/16


def test_what_a_loaded_engine_says_of_itself(engine):
    segmenter = engine()
    assert segmenter.classes == ("road", "sky", "traffic light", "car", "person")
    assert segmenter.colors.shape == (5, 3)
    assert segmenter.colors.dtype == np.uint8
    assert segmenter.colors[1].tolist() == [70, 130, 180]
    assert (segmenter.device, segmenter.precision) == ("cpu", "fp32")
    assert segmenter.waiting == ""


def test_automatic_choices_are_real_ones(model):
    segmenter = Segmenter.load(model)
    assert segmenter.device.split(":")[0] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert segmenter.precision in ("fp32", "bf16", "fp16")


def test_bfloat16_mostly_agrees(engine, coded, pan):
    frames = coded(pan(2))
    pairs = zip(run(engine(), frames), run(engine(precision="bf16"), frames), strict=True)
    assert all((a.labels == b.labels).mean() > 0.7 for a, b in pairs)  # a random network


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "CPU", "", "cpu:0"])
def test_an_unknown_device(engine, device):
    with pytest.raises(SegmentError, match="device: expected auto or one of cpu.*got") as error:
        engine(device=device)
    assert repr(device) in str(error.value)


@pytest.mark.parametrize("precision", ["fp16", "int8", ""])
def test_an_unknown_precision(engine, precision):
    wanted = "precision on cpu: expected auto or one of fp32, bf16, got"
    with pytest.raises(SegmentError, match=wanted) as error:
        engine(precision=precision)
    assert repr(precision) in str(error.value)


@pytest.mark.parametrize("size", [(64, 16), (100_000, 64)])
def test_an_input_size_that_cannot_be(engine, size):
    with pytest.raises(SegmentError, match=rf"input_size: .*32 to 8192, got \({size[0]}, "):
        engine(input_size=size)


@pytest.mark.parametrize("motion", ["auto", "flow"])
def test_an_engine_that_is_warm_labels_as_a_cold_one(engine, coded, pan, motion):
    frames = list(coded(pan(4), gop=3))
    warm = engine(motion=motion)
    warm.warm_up()
    assert warm.state is None
    same(run(warm, frames), run(engine(motion=motion), frames))


def test_a_device_without_room_to_warm_up_is_not_left(engine, monkeypatch, coded, pan):
    segmenter = engine()

    def fail(network, image):
        raise torch.cuda.OutOfMemoryError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(Network, "key", fail)
        segmenter.warm_up()
    assert segmenter.caveat == ""
    assert len(run(segmenter, coded(pan(2)))) == 2


def test_both_steps_are_warmed_up(engine, monkeypatch):
    segmenter, taken = engine(), []
    for name in ("key", "nonkey"):
        step = getattr(Network, name)

        def take(network, image, *rest, name=name, step=step):
            taken.append((name, tuple(image.shape)))
            return step(network, image, *rest)

        monkeypatch.setattr(Network, name, take)
    segmenter.warm_up()
    assert taken == [("key", (1, 3, 64, 96)), ("nonkey", (1, 3, 64, 96))]


def test_a_stream_that_is_known_is_warmed_up_for(engine, coded, pan):
    segmenter = engine()
    segmenter.warm_up()
    assert segmenter.video is None
    frames = coded(pan(2))
    segmenter.step(frames[0])
    assert segmenter.video == (frames[0].width, frames[0].height)
    other = engine(input_size=(64, 64))
    other.warm_up(segmenter.video)
    assert other._input.geometry.video == segmenter.video and other.state is None


def test_a_missing_model():
    with pytest.raises(
        SegmentError, match="model: expected a checkpoint file or one of .*got 'no"
    ):
        Segmenter.load("no-such-model", "cpu")


def test_a_wrong_model(tmp_path):
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(SegmentError, match=r"model: .*wrong\.safetensors: expected a safetensors"):
        Segmenter.load(path, "cpu")
    with pytest.raises(SegmentError, match="model: expected a checkpoint file"):
        Segmenter.load(tmp_path, "cpu")


def test_models_are_found_by_name_and_by_path(model, tmp_path, monkeypatch):
    assert find_model(model) == model
    assert find_model(str(model)) == model
    monkeypatch.setattr("twnet_ros.segment.network.MODELS", model.parent)
    assert find_model("tiny") == model
    with pytest.raises(SegmentError, match="or one of tiny, got 'large'"):
        find_model("large")
    monkeypatch.setattr("twnet_ros.segment.network.MODELS", tmp_path)
    with pytest.raises(SegmentError, match="none shipped"):
        find_model("tiny")


@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_gpu_gives_the_same_labels(coded, precision):
    if not torch.cuda.is_available():
        reason = "no CUDA device"
        if os.environ.get("TWNET_REQUIRE_GPU") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    street = Street(1_000_000, 512, 256)
    frames = coded([street.frame(i)[0] for i in range(8)], gop=8)
    expected = run(Segmenter.load("streets-mobilenetv1-layer1", "cpu", "fp32"), frames)
    segmenter = Segmenter.load("streets-mobilenetv1-layer1", "cuda", precision)
    results = run(segmenter, frames)
    assert segmenter.caveat == ""  # both steps were recorded
    agreement = [(a.labels == b.labels).mean() for a, b in zip(expected, results, strict=True)]
    assert np.mean(agreement) >= 0.99


def test_a_frame_left_out_starts_anew(engine, coded, pan):
    frames = coded(pan(5), gop=12)
    segmenter = engine()
    segmenter.step(frames[0])
    segmenter.step(frames[1])
    (result,) = segmenter.step(frames[3])  # its motion points to frame 2
    assert (result.path, result.distance) == (Path.KEY, 0)
    (result,) = segmenter.step(frames[4])
    assert (result.path, result.distance) == (Path.NONKEY, 1)


def test_after_a_loss_that_no_key_frame_heals_the_first_frame_takes_the_key_step(
    engine, pan, intra_refresh
):
    """While the picture recovers nothing is labelled."""
    data = intra_refresh(pan(60, dx=1))
    decoder, segmenter = StreamDecoder("h264"), engine()
    frames = [f for n, d in enumerate(data) if n != 5 for f in decoder.decode(d, n)]
    assert [frame.index for frame in frames] == list(range(len(frames)))
    first = next(frame.index for frame in frames if frame.pts > 5 and frame.intact)
    assert frames[first].kind is FrameKind.P and frames[first].pts > 20
    assert frames[first].follows and not frames[first - 1].intact
    results = run(segmenter, frames)
    assert [r.index for r in results if r.path is Path.KEY] == [0, first]
    same([r for r in results if r.index >= first], run(engine(), frames[first:]))


def test_a_skipped_frame_after_a_loss_lends_no_motion(engine, coded, pan):
    frames = coded(pan(4), gop=12)
    frames[2] = replace(frames[2], follows=False)
    segmenter = engine()
    run(segmenter, frames[:2])
    assert segmenter.skip(frames[2]) == []
    (result,) = segmenter.step(frames[3])
    assert (result.path, result.distance) == (Path.KEY, 0)


def test_a_step_that_fails_leaves_no_state(engine, coded, pan, monkeypatch):
    frames = coded(pan(3), gop=12)
    segmenter = engine()
    segmenter.step(frames[0])
    with monkeypatch.context() as patch:
        patch.setattr("twnet_ros.segment.segmenter.compensate", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            segmenter.step(frames[1])
    (result,) = segmenter.step(frames[2])
    assert result.path is Path.KEY


def without_motion(frames, *numbers):
    return [replace(f, motion=None) if n in numbers else f for n, f in enumerate(frames)]


def test_by_the_codecs_vectors_alone_a_frame_without_takes_the_key_step(engine, coded, pan):
    results = run(engine(motion="codec"), without_motion(coded(pan(4), gop=12), 2))
    assert [r.path for r in results] == [Path.KEY, Path.NONKEY, Path.KEY, Path.NONKEY]
    assert [r.distance for r in results] == [0, 1, 0, 1]


def test_optical_flow_takes_the_place_of_missing_vectors(engine, coded, pan):
    frames = coded(pan(5), gop=12)
    results = run(engine(), without_motion(frames, 2))
    assert [r.distance for r in results] == [0, 1, 2, 3, 4]
    flowing = engine(motion="flow")
    everywhere = run(flowing, frames)
    same(everywhere, run(flowing, without_motion(frames, 1, 2, 3, 4)))
    same(results[:2], run(engine(motion="codec"), frames[:2]))
    repeated = engine(motion="flow")
    repeated._flow = lambda current, _: torch.zeros(1, 2, *current.shape[-2:])
    still = run(repeated, frames)
    assert any((a.labels != b.labels).any() for a, b in zip(still, everywhere, strict=True))


def test_without_motion_all_is_taken_from_where_it_was(engine, coded, pan):
    frames = coded(pan(5), gop=12)
    still = [replace(f, motion=f.motion and uniform((8, 12), [0.0, 0.0])) for f in frames]
    results = run(engine(motion="none"), frames)
    assert [r.distance for r in results] == [0, 1, 2, 3, 4]
    same(results, run(engine(motion="codec"), still))
    same(results, run(engine(motion="none"), without_motion(frames, 1, 3)))


def test_without_motion_b_frames_go_on_like_others(engine, coded_with_b, pan):
    segmenter = engine(motion="none")
    for frame in coded_with_b(pan(7)):
        (result,) = segmenter.step(frame)
        assert (result.index, result.distance) == (frame.index, frame.index)


def test_a_flow_network_is_followed_like_vectors(engine, coded, pan, monkeypatch):
    """At twice the video's size, 3 px of the network's picture are 1.5 of the video's."""

    class Constant(torch.nn.Module):
        def forward(self, inputs):
            flow = torch.tensor([3.0, -2.0])[:, None, None]
            return {"flows": flow.expand(1, 1, 2, *inputs["images"].shape[-2:])}

    package = SimpleNamespace(get_model=lambda name, ckpt_path: Constant())
    monkeypatch.setitem(sys.modules, "ptlflow", package)
    frames = coded(pan(4), gop=12)
    moved = [replace(f, motion=f.motion and uniform((8, 12), [1.5, -1.0])) for f in frames]
    followed = run(engine(motion="pwcnet", input_size=(192, 128)), frames)
    same(followed, run(engine(motion="codec", input_size=(192, 128)), moved))
    assert [r.distance for r in followed] == [0, 1, 2, 3]


def test_an_i_frame_takes_the_key_step_whatever_motion_comes_from(engine, coded, pan):
    for motion in ("auto", "flow", "codec", "none"):
        results = run(engine(motion=motion), coded(pan(5), gop=3))
        assert [r.path is Path.KEY for r in results] == [True, False, False, True, False]


def test_flow_spans_the_frames_that_are_skipped(engine, coded, pan):
    frames = coded(pan(5), gop=12)
    seen = []

    def spy(current, previous):
        seen.append((current, previous))
        return torch.zeros(1, 2, *current.shape[-2:])

    segmenter = engine(motion="flow")
    segmenter._flow = spy
    run(segmenter, frames[:2])
    assert segmenter.skip(frames[2]) == segmenter.skip(frames[3]) == []
    (result,) = segmenter.step(frames[4])
    assert (result.path, result.distance) == (Path.NONKEY, 4)
    assert torch.equal(seen[1][1], seen[0][0]) and len(seen) == 2  # from 4 to 1
    # A frame without vectors among those skipped: no chain of them leads back.
    mixed = engine()
    mixed._flow = spy
    run(mixed, frames[:2])
    assert len(seen) == 2
    mixed.skip(replace(frames[2], motion=None))
    mixed.skip(frames[3])
    (result,) = mixed.step(frames[4])
    assert (result.path, result.distance, len(seen)) == (Path.NONKEY, 4, 3)


def test_a_b_frame_without_vectors_waits_for_nothing(engine, coded_with_b, pan):
    frames = [replace(f, motion=None) for f in coded_with_b(pan(7))]
    assert [f.kind.value for f in frames[:4]] == list("IBBP")
    flowing = engine()
    for number, frame in enumerate(frames):
        (result,) = flowing.step(frame)
        assert (result.index, result.distance) == (frame.index, number)
    keys = engine(motion="codec")
    for frame in frames:
        (result,) = keys.step(frame)
        assert (result.index, result.path) == (frame.index, Path.KEY)


def test_a_b_frame_without_vectors_behind_one_that_waits_goes_by_flow(engine, coded_with_b, pan):
    frames = coded_with_b(pan(4))
    frames[2] = replace(frames[2], motion=None)  # as in a pyramid
    whole = run(engine(), coded_with_b(pan(4)))
    results = run(engine(), frames)
    assert [(r.index, r.path, r.distance) for r in results] == [
        (0, Path.KEY, 0),
        *((n, Path.NONKEY, n) for n in (1, 2, 3)),
    ]
    same([results[0], results[1], results[3]], [whole[0], whole[1], whole[3]])
    # It is the frame that goes on from the first one.
    only = replace(frames[2], index=1)
    np.testing.assert_array_equal(results[2].labels, run(engine(), [frames[0], only])[1].labels)
    by_vectors = run(engine(motion="codec"), frames)
    assert [r.path for r in by_vectors] == [Path.KEY, Path.NONKEY, Path.KEY, Path.NONKEY]
    often = run(engine(policy=KeyPolicy(interval=3)), frames)  # its own step does not count
    assert [r.path for r in often] == [Path.KEY, Path.NONKEY, Path.NONKEY, Path.KEY]


def test_vectors_point_past_a_b_frame_that_had_none(engine, coded_with_b, pan):
    """The P-frame after it goes on from the B-frame by flow, or from the anchor before it."""
    frames = coded_with_b(pan(4))
    only_p = [f if f.kind is FrameKind.P else replace(f, motion=None) for f in frames]
    seen = []
    segmenter = engine()
    segmenter._flow = lambda current, previous: (
        seen.append(1) or torch.zeros(1, 2, *current.shape[-2:])
    )
    results = run(segmenter, only_p)
    assert [r.distance for r in results] == [0, 1, 2, 3]
    assert len(seen) == 3
    by_vectors = run(engine(motion="codec"), only_p)
    assert [r.path for r in by_vectors] == [Path.KEY] * 3 + [Path.NONKEY]
    past = run(engine(motion="codec"), [only_p[0], replace(only_p[3], index=1)])
    np.testing.assert_array_equal(by_vectors[3].labels, past[1].labels)


def test_a_b_frame_behind_one_that_had_no_vectors_goes_by_flow(engine, coded_with_b, pan):
    """Its own vectors point past that one."""
    frames = coded_with_b(pan(4))
    frames[1] = replace(frames[1], motion=None)
    pairs = []
    segmenter = engine()
    segmenter._flow = lambda current, previous: (
        pairs.append((current, previous)) or torch.zeros(1, 2, *current.shape[-2:])
    )
    results = run(segmenter, frames)
    assert [(r.index, r.distance) for r in results] == [(n, n) for n in range(4)]
    (one, _), (last, before_last), (two, before_two) = pairs
    assert torch.equal(before_last, one) and torch.equal(before_two, one)
    assert not torch.equal(two, last)


def test_a_broken_chain_is_labelled_where_that_is_wanted(engine, coded, pan):
    frames = coded(pan(7), gop=5)  # I P P P P I P
    for number in (2, 3, 4):
        frames[number] = replace(frames[number], fault="lost packets")
    strict = engine()
    assert [r.index for r in run(strict, frames)] == [0, 1, 5, 6]
    segmenter = engine(label_broken=True)
    results = run(segmenter, frames)
    assert [r.index for r in results] == list(range(7))
    # Neither half of the chain starts from the other.
    assert [r.distance for r in results] == [0, 1, 0, 1, 2, 0, 1]
    assert segmenter.waiting == ""
    fresh = engine(label_broken=True)
    same(results[2:5], run(fresh, frames[2:5]))
    run(fresh, frames[:3])
    assert fresh.skip(frames[3]) == []
    (result,) = fresh.step(frames[4])
    assert (result.path, result.distance) == (Path.NONKEY, 2)


class OutOfMemory:
    """A network on a device that has no memory left for so many key steps."""

    def __init__(self, network, times):
        self._network, self._times = network, times

    def __getattr__(self, name):
        return getattr(self._network, name)

    def key(self, image):
        if self._times:
            self._times -= 1
            raise torch.cuda.OutOfMemoryError("out of memory")
        return self._network.key(image)


def test_a_step_that_ran_out_of_memory_is_tried_again(engine, coded, pan):
    frames = coded(pan(4), gop=3)
    expected = run(engine(), frames)
    segmenter = engine()
    scarce = segmenter._network = OutOfMemory(segmenter._network, times=1)
    same(run(segmenter, frames), expected)
    assert segmenter._network is scarce and segmenter.caveat == ""


def test_a_device_that_stays_without_memory_is_left_for_the_cpu(engine, coded, pan):
    frames = coded(pan(4), gop=3)
    expected = run(engine(), frames)
    segmenter = engine()
    scarce = segmenter._network = OutOfMemory(segmenter._network, times=99)
    same(run(segmenter, frames), expected)
    assert segmenter._network is not scarce
    assert segmenter.caveat == "out of memory on cpu: the network runs on the CPU, in fp32"


def test_a_device_without_memory_for_the_first_picture_is_left_for_the_cpu(
    engine, coded, pan, monkeypatch
):
    frames = coded(pan(2))
    expected = run(engine(), frames)
    segmenter, failures = engine(), [1, 2]

    def scarce(*args):
        if failures:
            failures.pop()
            raise torch.cuda.OutOfMemoryError("out of memory")
        return InputPass(*args)

    monkeypatch.setattr(segmenter_module, "InputPass", scarce)
    same(run(segmenter, frames), expected)
    assert segmenter.caveat.startswith("out of memory on cpu")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_no_labels(engine, coded, pan, monkeypatch, value):
    segmenter, frames = engine(), coded(pan(4))
    nonkey = Network.nonkey

    def overflow(network, *inputs):
        logits, state = nonkey(network, *inputs)
        logits[0, 1, 2, 3] = value
        return logits, state

    segmenter.step(frames[0])
    with monkeypatch.context() as patched:
        patched.setattr(Network, "nonkey", overflow)
        with pytest.raises(SegmentError, match="expected finite logits of the network, got inf"):
            segmenter.step(frames[1])
    assert [r.path for r in run(segmenter, frames[2:])] == [Path.KEY, Path.NONKEY]


@pytest.mark.parametrize("times", [0, 99])
def test_b_frames_that_wait_outlive_a_lack_of_memory(engine, coded_with_b, pan, times):
    frames = coded_with_b(pan(4))
    segmenter = engine()
    run(segmenter, frames[:3])
    failed = []

    def nonkey(*_):
        failed.append(1)
        raise torch.cuda.OutOfMemoryError("out of memory")

    scarce = segmenter._network = OutOfMemory(segmenter._network, times)
    scarce.nonkey = nonkey
    results = segmenter.step(frames[3])
    assert failed == [1]
    assert [(r.index, r.path) for r in results] == [(n, Path.KEY) for n in (1, 2, 3)]
    assert (segmenter._network is scarce) == (times == 0)


@pytest.mark.parametrize("failures", [1, 2])
def test_b_frames_that_wait_keep_their_size_where_memory_ends_at_another(
    engine, coded, coded_with_b, pan, pan_over, monkeypatch, failures
):
    held = coded_with_b(pan(4))[:3]
    (other,) = coded(pan_over(1, width=48, height=32, square=8, blur=6))
    segmenter, left = engine(), [1] * failures
    run(segmenter, held)
    key = Network.key

    def scarce(network, image):
        if segmenter._source.geometry.video == (48, 32) and left:
            left.pop()
            raise torch.cuda.OutOfMemoryError("out of memory")
        return key(network, image)

    monkeypatch.setattr(Network, "key", scarce)
    results = segmenter.step(replace(other, index=3))
    assert [(r.index, r.labels.shape) for r in results] == [
        (1, (64, 96)),
        (2, (64, 96)),
        (3, (32, 48)),
    ]
    assert not left and bool(segmenter.caveat) == (failures == 2)


def test_only_known_sources_of_motion(engine):
    sources = "auto, codec, flow, none, flownet2, pwcnet"
    with pytest.raises(SegmentError, match=f"motion: expected one of {sources}, got 'mv'"):
        engine(motion="mv")


def test_a_key_step_comes_at_least_so_often(engine, coded, pan):
    frames = coded(pan(8), gop=5)  # I P P P P I P P
    results = run(engine(policy=KeyPolicy(interval=3)), frames)
    keys = [r.index for r in results if r.path is Path.KEY]
    assert keys == [0, 3, 5]
    assert [r.distance for r in results] == [0, 1, 2, 0, 1, 0, 1, 2]


def test_skipped_frames_do_not_bring_a_key_step_nearer(engine, coded, pan):
    segmenter = engine(policy=KeyPolicy(interval=3))
    results = []
    for frame in coded(pan(9), gop=12):
        results += segmenter.skip(frame) if frame.index % 2 else segmenter.step(frame)
    assert [(r.index, r.path is Path.KEY) for r in results] == [
        (0, True),
        (2, False),
        (4, False),
        (6, True),
        (8, False),
    ]
    assert [r.distance for r in results] == [0, 2, 4, 0, 2]


@pytest.mark.parametrize("policy", [KeyPolicy(residual=12.0), key_policy("adaptive", 4)])
@pytest.mark.parametrize("correction", ["rga", "fusion"])
def test_a_cut_asks_for_a_key_step(network, coded, pan, correction, policy):
    """Nothing goes on past it, also where a key step is due."""
    shared = Network(network(correction=correction), "cpu", "fp32")
    frames = coded(pan(4) + pan(4, seed=5, dx=-4), gop=12)
    results = run(Segmenter(shared, policy=policy), frames)
    assert [r.index for r in results if r.path is Path.KEY] == [0, 4]
    fresh = run(Segmenter(shared, policy=policy), frames[4:])
    for one, other in zip(results[4:], fresh, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)


def test_a_b_frame_of_another_picture_takes_the_key_step(engine, coded_with_b, pan):
    """It leaves no state behind, and how often key steps come does not count its own."""
    pictures = pan(7)
    pictures[2] = pan(1, seed=5)[0]
    frames = coded_with_b(pictures)
    assert [f.kind.value for f in frames] == list("IBBPBBP") and frames[2].motion is not None
    results = run(engine(policy=key_policy("adaptive", 24)), frames)
    assert [r.index for r in results if r.path is Path.KEY] == [0, 2]
    np.testing.assert_array_equal(
        results[2].labels, engine(per_frame=True).step(frames[2])[0].labels
    )
    others = run(engine(), frames)
    same([*results[:2], *results[3:]], [*others[:2], *others[3:]])
    often = run(engine(policy=KeyPolicy(interval=2)), frames)
    assert [r.index for r in often if r.path is Path.KEY] == [0, 3, 6]


@pytest.mark.parametrize(("share", "path"), [(0.5, Path.NONKEY), (0.6, Path.KEY)])
def test_more_blocks_without_a_vector_than_allowed_ask_for_a_key_step(
    engine, coded, pan, share, path
):
    frames = coded(pan(2), gop=12)
    reference = np.full((8, 12), -1, np.int8)
    reference.flat[: round(share * reference.size)] = 0
    motion = BlockMotion(np.zeros((8, 12, 2), np.float32), reference)
    (_, result) = run(
        engine(policy=KeyPolicy(intra=0.55)), [frames[0], replace(frames[1], motion=motion)]
    )
    assert result.path is path


def test_the_codec_s_policy_asks_for_nothing(engine, coded, pan):
    frames = coded(pan(4) + pan(4, seed=5), gop=12)
    results = run(engine(policy=key_policy("codec")), frames)
    assert [r.index for r in results if r.path is Path.KEY] == [0]


def test_skipped_frames_lend_their_motion_to_the_next_one_alone(engine, coded, pan):
    """Two frames that move by 8 px each and one that moves by 16 px are the same."""
    frames = coded(pan(4, dx=8), gop=12)
    grid = frames[1].motion.reference.shape
    frames[1:] = [replace(f, motion=uniform(grid, [8.0, 0.0])) for f in frames[1:]]
    segmenter = engine()
    segmenter.step(frames[0])
    assert segmenter.skip(frames[1]) == []
    found = run(segmenter, frames[2:])
    assert [(r.path, r.distance, r.index) for r in found] == [
        (Path.NONKEY, 2, 2),
        (Path.NONKEY, 3, 3),
    ]
    jump = replace(frames[2], index=1, motion=uniform(grid, [16.0, 0.0]))
    expected = run(engine(), [frames[0], jump, replace(frames[3], index=2)])[1:]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)


def test_past_a_skipped_key_frame_the_next_takes_the_key_step(engine, coded, pan):
    frames = coded(pan(5), gop=3)  # I P P I P
    segmenter = engine()
    run(segmenter, frames[:3])
    segmenter.skip(frames[3])
    (result,) = segmenter.step(frames[4])
    assert (result.path, result.distance) == (Path.KEY, 0)


def test_b_frames_are_skipped_with_the_frame_they_wait_for(engine, coded_with_b, pan):
    frames = coded_with_b(pan(10))
    segmenter = engine()
    segmenter.step(frames[0])
    for frame in frames[1:3]:
        assert segmenter.step(frame) == []
    segmenter.skip(frames[3])
    results = run(segmenter, frames[4:7])
    assert [(r.index, r.path) for r in results] == [
        (4, Path.NONKEY),
        (5, Path.NONKEY),
        (6, Path.NONKEY),
    ]
    segmenter = engine()
    segmenter.step(frames[0])
    for frame in frames[1:4]:
        segmenter.skip(frame)
    same(run(segmenter, frames[4:7]), results)


def test_a_broken_frame_is_not_skipped_unnoticed(engine, coded, pan):
    frames = coded(pan(4), gop=12)
    segmenter = engine()
    segmenter.step(frames[0])
    segmenter.skip(replace(frames[1], fault="lost"))
    assert segmenter.waiting == "lost"
    assert segmenter.state is None
