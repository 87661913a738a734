"""Clips: fixed GOPs, self-contained packets, whole files or none."""

import av
import numpy as np
import pytest

from twnet_ros.codec import ClipEncoder, CodecError, StreamDecoder, write_clip

CODECS = ["mpeg4", "h264"]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("gop", [1, 5, 12])
def test_i_frames_come_exactly_every_gop(codec, gop, pan, encode):
    # A cut in the middle of a GOP must not bring an I frame of its own.
    frames = noisy(pan(7)) + [np.full((144, 176, 3), 10, np.uint8)] * 7 + noisy(pan(7, seed=1))
    packets = encode(codec, frames, gop=gop)
    decoder = StreamDecoder(codec)
    decoded = [frame for packet in packets for frame in decoder.decode(packet.data)]
    assert [frame.key for frame in decoded] == [i % gop == 0 for i in range(21)]
    assert [packet.key for packet in packets] == [i % gop == 0 for i in range(21)]


@pytest.mark.parametrize("codec", CODECS)
def test_every_frame_gives_its_packet_at_once(codec, pan):
    encoder = ClipEncoder(codec, 176, 144, fps=10.0)
    packets = []
    for frame in pan(5):
        packets += encoder.encode(frame)
        assert [packet.pts_ns for packet in packets][-1] == (len(packets) - 1) * 100_000_000
    assert len(packets) == 5
    assert encoder.flush() == []


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("fps", [1 / 1001, 60000 / 1001, 120000 / 1001, 90.003, 65535.0])
def test_any_frame_rate_is_kept(codec, fps, pan, encode):
    packets = encode(codec, pan(3), fps=fps)
    assert [packet.pts_ns for packet in packets] == pytest.approx(
        [n / fps * 1e9 for n in range(3)], rel=1e-6, abs=1
    )


@pytest.mark.parametrize("codec", CODECS)
def test_every_key_packet_starts_a_fresh_decoder(codec, pan, encode):
    packets = encode(codec, pan(9), gop=3)
    for start in (0, 3, 6):
        decoder = StreamDecoder(codec)
        frames = [frame for packet in packets[start:] for frame in decoder.decode(packet.data)]
        assert len(frames) == 9 - start
        assert all(frame.intact for frame in frames)


@pytest.mark.parametrize("codec", CODECS)
def test_picture_comes_back_in_bt601(codec, encode):
    # The encoder says or implies BT.601 limited range, so that matrix must give the color back.
    color = (200, 40, 90)
    rgb = np.full((64, 64, 3), color, np.uint8)
    (frame,) = StreamDecoder(codec).decode(encode(codec, [rgb])[0].data)
    assert frame.color_matrix == "bt601"
    assert not frame.full_range
    y, u, v = (float(np.median(plane)) for plane in (frame.y, frame.u, frame.v))
    luma, cb, cr = 1.164 * (y - 16), u - 128, v - 128
    back = (luma + 1.596 * cr, luma - 0.392 * cb - 0.813 * cr, luma + 2.017 * cb)
    np.testing.assert_allclose(back, color, atol=6)


@pytest.mark.parametrize("codec", CODECS)
def test_bitrate_is_obeyed(codec, pan, encode):
    frames = noisy(pan(16) + pan(16, seed=1))
    low, high = (
        sum(len(packet.data) for packet in encode(codec, frames, bitrate=bitrate))
        for bitrate in (200_000, 2_000_000)
    )
    assert 2 * low < high
    assert high * 8 < 1.5 * 2_000_000 * len(frames) / 17.0


def test_crf_is_obeyed(pan, encode):
    fine, coarse = (
        sum(len(packet.data) for packet in encode("h264", pan(6), crf=crf)) for crf in (15, 35)
    )
    assert fine > 2 * coarse


@pytest.mark.parametrize(
    ("codec", "size", "settings", "expected"),
    [
        ("hevc", (64, 64), {}, "expected codec 'h264' or 'mpeg4', got 'hevc'"),
        ("mpeg4", (63, 64), {}, "even width and height.*got 63x64"),
        ("h264", (64, 31), {}, "even width and height.*got 64x31"),
        ("h264", (0, 64), {}, "got 0x64"),
        ("h264", (64, 64), {"gop": 0}, "gop from 1 up to 1073741824, got 0"),
        ("mpeg4", (64, 64), {"gop": 601}, "gop from 1 up to 600, got 601"),
        ("mpeg4", (64, 64), {"fps": 0.0}, "frame rate from 1/1001 to 65535, got 0"),
        ("mpeg4", (64, 64), {"fps": float("nan")}, "frame rate from.*got nan"),
        ("h264", (64, 64), {"fps": 5e-4}, "frame rate from.*got 0.0005"),
        ("mpeg4", (64, 64), {"fps": 1e9}, "frame rate from.*got 1000000000"),
        ("mpeg4", (64, 64), {"crf": 20}, "expected a bitrate for 'mpeg4', got crf 20"),
        ("h264", (64, 64), {"crf": 20, "bitrate": 10**6}, "one of bitrate and crf"),
        ("h264", (64, 64), {"crf": 60}, "up to 51, got 60"),
        ("h264", (64, 64), {"bitrate": 0}, "bit/s, got 0"),
    ],
)
def test_what_cannot_be_encoded_is_refused(codec, size, settings, expected):
    with pytest.raises(CodecError, match=expected):
        ClipEncoder(codec, *size, **settings)


@pytest.mark.parametrize(("codec", "width"), [("mpeg4", 8194), ("h264", 20000)])
def test_what_an_encoder_refuses_is_said(codec, width):
    with pytest.raises(CodecError, match=f"cannot encode {width}x16 px: "):
        ClipEncoder(codec, width, 16).encode(np.zeros((16, width, 3), np.uint8))


def test_an_encoder_takes_nothing_after_its_end(pan):
    encoder = ClipEncoder("h264", 176, 144)
    encoder.flush()
    with pytest.raises(CodecError, match="cannot encode 176x144 px: End of file"):
        encoder.encode(pan(1)[0])


def test_a_folder_is_no_file_to_write(tmp_path, pan):
    (tmp_path / "clip.mp4").mkdir()
    with pytest.raises(CodecError, match="expected a file to write, got .*clip.mp4"):
        write_clip(tmp_path / "clip.mp4", pan(1), codec="h264")


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((64, 48, 3), np.uint8),
        np.zeros((48, 64), np.uint8),
        np.zeros((48, 64, 3), np.float32),
    ],
)
def test_frames_of_another_shape_or_type_are_refused(frame):
    with pytest.raises(CodecError, match=r"expected frames \(48, 64, 3\) uint8, got"):
        ClipEncoder("mpeg4", 64, 48).encode(frame)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_clip_is_what_the_encoder_makes(codec, suffix, pan, encode, tmp_path):
    frames = pan(7)
    path = tmp_path / f"clip{suffix}"
    write_clip(path, iter(frames), codec=codec, gop=3, fps=15.0)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    decoder = StreamDecoder(codec)
    packets = encode(codec, frames, gop=3, fps=15.0)
    expected = [frame for packet in packets for frame in decoder.decode(packet.data)]
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 15
        pictures = list(container.decode(video=0))
    for picture, frame in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(picture.to_ndarray()[: frame.height], frame.y)


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_nothing_is_left_when_the_frames_fail(failure, after, pan, tmp_path):
    def frames():
        yield from pan(after)
        raise failure

    with pytest.raises(failure):
        write_clip(tmp_path / "clip.mp4", frames(), codec="h264")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_clip_leaves_the_old_file(pan, tmp_path):
    path = tmp_path / "clip.avi"
    write_clip(path, pan(2), codec="mpeg4")
    before = path.read_bytes()
    with pytest.raises(CodecError, match="expected frames"):
        write_clip(path, [*pan(2), np.zeros((8, 8, 3), np.uint8)], codec="mpeg4")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clip.webm", "expected a file name ending in .mp4, .avi, .mkv, got 'clip.webm'"),
        ("clip", "ending in"),
        ("missing/clip.mp4", "existing directory"),
    ],
)
def test_other_places_are_refused(name, expected, pan, tmp_path):
    with pytest.raises(CodecError, match=expected):
        write_clip(tmp_path / name, pan(1), codec="h264")
    assert list(tmp_path.iterdir()) == []


def test_a_clip_without_frames_is_refused(tmp_path):
    with pytest.raises(CodecError, match="at least one frame"):
        write_clip(tmp_path / "clip.mp4", [], codec="h264")


def noisy(frames):
    rng = np.random.default_rng(0)
    noise = rng.integers(-30, 30, (len(frames), *frames[0].shape))
    return list(np.clip(np.array(frames) + noise, 0, 255).astype(np.uint8))
