"""Block motion: where it comes from, its sign, its scale, and what has none."""

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from hypothesis import given, settings
from hypothesis import strategies as st

import coded
from bits import escape
from twnet_ros.codec import BlockMotion, FrameKind, StreamDecoder, read_packets
from twnet_ros.codec.bit import BitReader
from twnet_ros.codec.h264_parameter import unescape
from twnet_ros.codec.motion import compose, fill_blocks

CODECS = ["mpeg4", "h264"]
VECTOR = np.dtype(
    [
        ("source", "int32"),
        ("w", "uint8"),
        ("h", "uint8"),
        ("src_x", "int16"),
        ("src_y", "int16"),
        ("dst_x", "int16"),
        ("dst_y", "int16"),
        ("flags", "uint64"),
        ("motion_x", "int32"),
        ("motion_y", "int32"),
        ("motion_scale", "uint16"),
    ],
    align=True,
)


def decode(codec, packets):
    decoder = StreamDecoder(codec)
    frames = [frame for packet in packets for frame in decoder.decode(packet.data)]
    return frames + decoder.flush()


def paint(vectors, height, width):
    """Block by block and vector by vector: past after future, but for a past of 0."""
    rows, cols = -(-height // 8), -(-width // 8)
    displacement = np.zeros((rows, cols, 2), np.float32)
    reference = np.zeros((rows, cols), np.int8)
    for sign in (1, -1):
        for vector in vectors:
            if vector["source"] != sign:
                continue
            left = int(vector["dst_x"]) - int(vector["w"]) // 2
            top = int(vector["dst_y"]) - int(vector["h"]) // 2
            for row in range(rows):
                for col in range(cols):
                    inside_x = left <= col * 8 < left + int(vector["w"])
                    inside_y = top <= row * 8 < top + int(vector["h"])
                    if not (inside_x and inside_y):
                        continue
                    moved = np.array([int(vector["motion_x"]), int(vector["motion_y"])])
                    if sign > 0 or moved.any() or not displacement[row, col].any():
                        displacement[row, col] = moved / int(vector["motion_scale"])
                        reference[row, col] = sign
    return displacement, reference


@st.composite
def vector_sets(draw):
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    records, taken = [], set()
    for _ in range(draw(st.integers(0, 20))):
        w, h = draw(st.sampled_from([8, 16])), draw(st.sampled_from([8, 16]))
        left, top = 8 * draw(st.integers(-3, 10)), 8 * draw(st.integers(-3, 10))
        x, y = (draw(st.just(0) | st.integers(-600, 600)) for _ in range(2))
        scale = draw(st.sampled_from([1, 2, 4]))
        center_x, center_y = left + w // 2, top + h // 2
        source = draw(st.sampled_from([-1, 1]))
        # Only blocks of different directions may lie over each other.
        blocks = {(source, left + i, top + j) for i in range(0, w, 8) for j in range(0, h, 8)}
        if taken & blocks:
            continue
        taken |= blocks
        # src_x and src_y are lies: they must not be used.
        records.append((source, w, h, 999, 999, center_x, center_y, 0, x, y, scale))
    return np.array(records, VECTOR), height, width


@settings(max_examples=60)
@given(vector_sets())
def test_fill_equals_painting_one_vector_at_a_time(case):
    vectors, height, width = case
    motion = fill_blocks(vectors, height, width)
    displacement, reference = paint(vectors, height, width)
    np.testing.assert_array_equal(motion.displacement, displacement)
    np.testing.assert_array_equal(motion.reference, reference)


@pytest.mark.parametrize("codec", CODECS)
def test_vectors_equal_the_exported_ones_block_for_block(codec, pan, encode, raw_decode):
    # Sizes that are no multiple of a macroblock, and sub-pel motion by a moving pattern.
    frames = pan(5, width=188, height=150, dx=3, dy=1)
    frames = [(a.astype(int) + b) // 2 for a, b in zip(frames, frames[1:], strict=False)]
    packets = encode(codec, [frame.astype(np.uint8) for frame in frames])
    ours = decode(codec, packets)
    theirs = raw_decode(codec, [packet.data for packet in packets])
    fractions = 0
    for frame, picture in zip(ours, theirs, strict=True):
        if frame.motion is None:
            continue
        vectors = picture.side_data.get("MOTION_VECTORS").to_ndarray()
        displacement, reference = paint(vectors, picture.height, picture.width)
        np.testing.assert_array_equal(frame.motion.displacement, displacement)
        np.testing.assert_array_equal(frame.motion.reference, reference)
        fractions += np.count_nonzero(displacement % 1)
    assert fractions, "the clip has no sub-pel vectors, so it does not test them"


def errors_beside_a_past_of_zero(packets, raw_decode):
    """Return errors of blocks that FFmpeg says come from the same place, and from elsewhere.

    They are mean levels (0 to 255) of prediction from that place in the frame before, and by the
    motion that is taken, for all blocks of which it is the future's.
    """
    decoder = StreamDecoder("h264")
    frames = [frame for data in packets for frame in decoder.decode(data)]
    past, taken = [], []
    for frame, picture in zip(frames, raw_decode("h264", packets), strict=False):
        anchors = [other for other in frames if other.kind is not FrameKind.B]
        earlier = [other for other in anchors if other.index < frame.index]
        later = [other for other in anchors if other.index > frame.index]
        if frame.kind is not FrameKind.B or frame.motion is None or not later:
            continue
        vectors = picture.side_data.get("MOTION_VECTORS").to_ndarray()
        before = fill_blocks(vectors[vectors["source"] < 0], *frame.y.shape)
        still = before.coded & ~before.displacement.any(-1)
        for row, col in np.argwhere(still & (frame.motion.reference > 0)):
            y, x = 8 * row, 8 * col
            dx, dy = np.round(frame.motion.displacement[row, col]).astype(int)
            if 0 <= x + dx <= frame.width - 8 and 0 <= y + dy <= frame.height - 8:
                here = frame.y[y : y + 8, x : x + 8].astype(int)
                there = later[0].y[y + dy : y + dy + 8, x + dx : x + dx + 8]
                past.append(np.abs(here - earlier[-1].y[y : y + 8, x : x + 8]).mean())
                taken.append(np.abs(here - there).mean())
    assert len(past) > 100
    return np.mean(past), np.mean(taken)


def test_a_past_of_zero_that_is_made_up_beside_a_future_is_not_taken(
    pan, encode_between, raw_decode
):
    frames, (patch,) = pan(20, dx=5), pan(1, seed=1)
    for number, frame in enumerate(frames):  # something moves on its own
        top, left = 30 + number, 100 - 2 * number
        frame[top : top + 60, left : left + 60] = patch[:60, :60]
    past, taken = errors_beside_a_past_of_zero(encode_between(frames), raw_decode)
    assert taken < 0.2 * past


def test_nor_is_one_of_the_drive(drive, raw_decode):
    _, packets = read_packets(drive("street_2048x1024_h264_bframes.mp4"))
    packets = [packet.data for _, packet in zip(range(8), packets, strict=False)]
    past, taken = errors_beside_a_past_of_zero(packets, raw_decode)
    assert taken < 0.4 * past


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("dx", "dy"), [(4, 0), (-4, 0), (0, 3), (-2, -2)])
def test_panning_camera_finds_its_source_where_the_camera_went(codec, dx, dy, pan, encode):
    # The camera goes right, the picture goes left: what is here now was further right.
    frame = decode(codec, encode(codec, pan(3, dx=dx, dy=dy)))[-1]
    inner = frame.motion.displacement[3:-3, 3:-3]
    assert frame.motion.coded[3:-3, 3:-3].mean() > 0.9
    np.testing.assert_array_equal(np.median(inner.reshape(-1, 2), axis=0), (dx, dy))


@pytest.mark.parametrize("codec", CODECS)
def test_what_appears_from_nowhere_is_intra(codec, pan, encode):
    frames = pan(1) * 2
    frames[1] = frames[1].copy()
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    frames[1][48:112, 64:128] = noise
    motion = decode(codec, encode(codec, frames))[1].motion
    inside = motion.reference[6:14, 8:16]
    assert (inside == 0).mean() > 0.8
    assert not motion.displacement[motion.reference == 0].any()
    outside = motion.coded.copy()
    outside[6:14, 8:16] = True
    assert outside.mean() > 0.95


def shown_as(data, place):
    """Change a slice's pic_order_cnt_lsb (H.264 7.3.3), of 4 bits behind 4 of frame_num."""
    start = data.rindex(b"\0\0\1") + 4
    bits = "".join(f"{byte:08b}" for byte in unescape(data[start:]))
    reader = BitReader(data[start:])
    sizes = [len(format(reader.unsigned() + 1, "b")) * 2 - 1 for _ in range(3)]
    at = sum(sizes) + 4
    bits = f"{bits[:at]}{2 * place % 16:04b}{bits[at + 4 :]}"
    return data[:start] + escape(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def test_a_p_picture_shown_after_one_that_was_coded_later_has_no_motion():
    """Of each two P pictures the second is shown first; what follows refers past it."""
    scene = np.random.default_rng(0).integers(0, 256, (72, 90), np.uint8)
    planes = [np.ascontiguousarray(scene[:, number : number + 64]) for number in range(13)]
    pictures = [av.VideoFrame.from_ndarray(plane, "yuv420p") for plane in planes]
    for picture in pictures[1:]:
        picture.pict_type = PictureType.P
    parameters = "bframes=1:b-adapt=0:scenecut=0:ref=1:weightp=0:slices=1"
    packets = coded.encode("h264", pictures, {"x264-params": parameters})
    for number in range(1, 13):
        packets[number] = shown_as(packets[number], number + 1 if number % 2 else number - 1)
    decoder = StreamDecoder("h264")
    frames = [frame for n, data in enumerate(packets) for frame in decoder.decode(data, n)]
    assert [frame.pts for frame in frames[:7]] == [0, 2, 1, 4, 3, 6, 5]
    assert {frame.kind for frame in frames[1:]} == {FrameKind.P}
    assert all(frame.intact and frame.motion is None for frame in frames)


def test_p_frame_without_vectors_is_all_intra():
    motion = fill_blocks(None, 20, 30)
    assert motion.reference.shape == (3, 4)
    assert not motion.coded.any()
    assert not motion.displacement.any()


def test_dense_repeats_each_block_over_its_pixels():
    rng = np.random.default_rng(0)
    displacement = rng.normal(size=(3, 4, 2)).astype(np.float32)
    motion = BlockMotion(displacement, np.full((3, 4), -1, np.int8))
    dense = motion.dense(20, 30)
    assert dense.shape == (20, 30, 2)
    for row in (0, 7, 8, 19):
        for col in (0, 7, 8, 29):
            np.testing.assert_array_equal(dense[row, col], displacement[row // 8, col // 8])


def test_dense_refuses_a_picture_of_another_size():
    motion = fill_blocks(None, 20, 30)
    with pytest.raises(ValueError, match=r"\(3, 4\) blocks.*got 40x30"):
        motion.dense(40, 30)


@pytest.mark.parametrize(
    ("displacement", "reference"),
    [
        (np.zeros((2, 3, 2)), np.zeros((2, 3), np.int8)),
        (np.zeros((2, 3), np.float32), np.zeros((2, 3), np.int8)),
        (np.zeros((2, 3, 2), np.float32), np.zeros((3, 2), np.int8)),
        (np.zeros((2, 3, 2), np.float32), np.zeros((2, 3))),
    ],
)
def test_block_motion_refuses_other_shapes_and_types(displacement, reference):
    with pytest.raises(ValueError, match="expected"):
        BlockMotion(displacement, reference)


def test_shared_drive_has_vectors_in_every_p_frame(drive):
    info, packets = read_packets(drive("street_2048x1024_mpeg4_gop12.avi"))
    frames = decode(info.codec, packets)
    assert [frame.kind.value for frame in frames] == list("IPPPPPPPPPPP" * 2 + "IPPPPP")
    motions = [frame.motion for frame in frames if frame.motion is not None]
    assert all(motion.displacement.shape == (128, 256, 2) for motion in motions)
    assert all(np.abs(motion.displacement).max() > 1 for motion in motions)
    # The street moves: after a poor I frame some blocks are coded anew, most are not.
    shares = [motion.coded.mean() for motion in motions]
    assert min(shares) > 0.25
    assert np.mean(shares) > 0.75


def motion_grids(shape):
    """Random motion into the past, some blocks intra, vectors that leave the picture."""

    def build(seed):
        rng = np.random.default_rng(seed)
        displacement = (rng.integers(-100, 101, (*shape, 2)) / 4).astype(np.float32)
        intra = rng.random(shape) < 0.2
        displacement[intra] = 0
        return BlockMotion(displacement, np.where(intra, np.int8(0), np.int8(-1)))

    return st.integers(0, 2**32 - 1).map(build)


@given(motion_grids((5, 7)), motion_grids((5, 7)))
@settings(max_examples=50)
def test_composed_motion_follows_each_block_s_centre(later, earlier):
    both = compose(later, earlier)
    for row in range(5):
        for col in range(7):
            dx, dy = later.displacement[row, col]
            x, y = 8 * col + 4 + dx, 8 * row + 4 + dy  # where the centre comes from
            found = min(max(y // 8, 0), 4), min(max(x // 8, 0), 6)
            there = tuple(int(i) for i in found)
            if later.reference[row, col] and earlier.reference[there]:
                assert both.reference[row, col] == -1
                expected = later.displacement[row, col] + earlier.displacement[there]
                np.testing.assert_array_equal(both.displacement[row, col], expected)
            else:
                assert both.reference[row, col] == 0
                assert not both.displacement[row, col].any()


@given(motion_grids((4, 6)), motion_grids((4, 6)), st.integers(0, 2**32 - 1))
def test_what_points_ahead_is_not_composed(later, earlier, seed):
    ahead = np.random.default_rng(seed).random((4, 6)) < 0.3
    mixed = BlockMotion(later.displacement, np.where(ahead, np.int8(1), later.reference))
    both, past = compose(mixed, earlier), compose(later, earlier)
    np.testing.assert_array_equal(both.reference, np.where(ahead, 1, past.reference))
    np.testing.assert_array_equal(
        both.displacement, np.where(ahead[..., None], later.displacement, past.displacement)
    )


@given(motion_grids((4, 6)))
@settings(max_examples=20)
def test_composing_with_no_motion_changes_nothing(motion):
    still = BlockMotion(np.zeros((4, 6, 2), np.float32), np.full((4, 6), -1, np.int8))
    for both in (compose(motion, still), compose(still, motion)):
        np.testing.assert_array_equal(both.displacement, motion.displacement)
        np.testing.assert_array_equal(both.reference, motion.reference)


def test_motion_of_pictures_of_different_sizes_does_not_compose():
    small, large = (
        BlockMotion(np.zeros((*grid, 2), np.float32), np.zeros(grid, np.int8))
        for grid in ((2, 3), (2, 4))
    )
    with pytest.raises(ValueError, match=r"expected motion of \(2, 3\) blocks.*got \(2, 4\)"):
        compose(small, large)
