"""Planes and colours of every format that the decoders give, against arithmetic of its own."""

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from coded import encode
from twnet_ros.codec import CodecError, StreamDecoder
from twnet_ros.codec.plane import color_matrix, read_planes

WIDTH, HEIGHT = 64, 48
# Kr, Kb of ITU-R BT.601 and BT.709
WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
COEFFICIENTS = {"bt601": 6, "bt709": 1}
RANGES = {False: 1, True: 2}


def to_ycc(rgb, matrix, full):
    """Convert RGB of 0 to 1 to YCbCr on the scale of 8 bits, not rounded."""
    red_weight, blue_weight = WEIGHTS[matrix]
    red, green, blue = np.moveaxis(rgb, -1, 0)
    luma = red_weight * red + blue_weight * blue + (1 - red_weight - blue_weight) * green
    cb, cr = (blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)
    if full:
        return 255 * luma, 128 + 255 * cb, 128 + 255 * cr
    return 16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr


def scene():
    """Return flat patches of 16 px of saturated and other colours, RGB of 0 to 1."""
    rng = np.random.default_rng(0)
    patches = rng.choice([0.0, 0.25, 0.6, 1.0], (HEIGHT // 16, WIDTH // 16, 3))
    return patches.repeat(16, 0).repeat(16, 1)


def halved(plane, down, across):
    rows, columns = plane.shape
    return plane.reshape(rows // down, down, columns // across, across).mean((1, 3))


def encoded(planes, pixel_format, bits, matrix, full, encoder="libx264"):
    """One picture without loss; planes on the scale of 8 bits."""
    picture = av.VideoFrame(WIDTH, HEIGHT, pixel_format)
    for plane, values in zip(picture.planes, planes, strict=True):
        # Limited range is shifted, full range spans all codes (ITU-R BT.2100).
        factor = (2**bits - 1) / 255 if full else 2 ** (bits - 8)
        scaled = np.clip(np.round(values * factor), 0, 2**bits - 1)
        kind = np.uint8 if bits == 8 else np.uint16
        rows = np.zeros((plane.height, plane.line_size // kind().itemsize), kind)
        rows[:, : plane.width] = scaled
        plane.update(rows.tobytes())
    colors = {"pix_fmt": pixel_format, "color_range": RANGES[full]}
    if matrix is not None:
        colors["colorspace"] = COEFFICIENTS[matrix]
    options = {"qp": "0", "preset": "ultrafast"}
    if encoder == "libx265":
        options = {"x265-params": "lossless=1:log-level=none"}
    (data,) = encode(encoder, [picture], options, max_b_frames=0, **colors)
    return data


def inner(plane, margin=2):
    """Cut each patch's border off, where chroma of different sizes is of two patches."""
    rows, columns = plane.shape
    side = 16 * rows // HEIGHT
    patches = plane.reshape(rows // side, side, columns // side, side)
    return patches[:, margin:-margin, :, margin:-margin]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize(
    ("pixel_format", "bits", "down", "across"),
    [
        ("yuv420p", 8, 2, 2),
        ("yuv422p", 8, 1, 2),
        ("yuv444p", 8, 1, 1),
        ("yuv420p10le", 10, 2, 2),
        ("yuv422p10le", 10, 1, 2),
        ("yuv444p10le", 10, 1, 1),
    ],
)
def test_planes_are_those_of_the_signalled_matrix_and_range(
    pixel_format, bits, down, across, matrix, full
):
    luma, cb, cr = to_ycc(scene(), matrix, full)
    planes = [luma, halved(cb, down, across), halved(cr, down, across)]
    (frame,) = StreamDecoder("h264").decode(encoded(planes, pixel_format, bits, matrix, full))
    assert (frame.color_matrix, frame.full_range) == (matrix, full)
    expected = [luma, halved(cb, 2, 2), halved(cr, 2, 2)]
    for plane, values in zip((frame.y, frame.u, frame.v), expected, strict=True):
        values = np.clip(values, 0, 255)
        # What becomes 8 bits is dithered.
        assert np.abs(inner(plane) - inner(values)).max() <= (0.51 if bits == 8 else 1.6)
        assert abs((inner(plane) - inner(values)).mean()) < 0.5


@pytest.mark.parametrize("coefficients", [2, 3])  # unspecified, reserved
def test_what_says_no_matrix_is_by_convention(coefficients):
    picture = av.VideoFrame(64, 720, "yuv420p")
    picture.colorspace = coefficients
    assert color_matrix(picture, "h264") == "bt709"
    assert color_matrix(picture, "mpeg4") == "bt601"


@pytest.mark.parametrize(
    ("codec", "encoder", "pixel_format", "bits"),
    [
        ("h264", "libx264", "gray", 8),
        ("h264", "libx264", "gray10le", 10),
        ("hevc", "libx265", "gray", 8),
        ("hevc", "libx265", "gray10le", 10),
        ("hevc", "libx265", "gray12le", 12),
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_gray_has_no_colour(codec, encoder, pixel_format, bits, full):
    luma, _, _ = to_ycc(scene(), "bt601", full)
    packet = encoded([luma], pixel_format, bits, "bt601", full, encoder)
    decoder = StreamDecoder(codec)
    (frame,) = decoder.decode(packet) + decoder.flush()
    assert frame.full_range == full
    assert np.abs(inner(frame.y) - inner(luma)).max() <= (0.51 if bits == 8 else 1.5)
    assert (frame.u == 128).all()
    assert (frame.v == 128).all()


def test_rgb_becomes_full_range_bt709():
    rgb = np.round(255 * scene())
    options = {"qp": "0", "preset": "ultrafast"}
    (data,) = encode(
        "libx264rgb", [rgb.astype(np.uint8)], options, pix_fmt="rgb24", max_b_frames=0
    )
    (frame,) = StreamDecoder("h264").decode(data)
    assert (frame.color_matrix, frame.full_range) == ("bt709", True)
    luma, cb, cr = to_ycc(rgb / 255, "bt709", full=True)
    expected = [luma, halved(cb, 2, 2), halved(cr, 2, 2)]
    for plane, values in zip((frame.y, frame.u, frame.v), expected, strict=True):
        assert np.abs(inner(plane) - np.clip(inner(values), 0, 255)).max() <= 1.5


@pytest.mark.parametrize("end", ["le", "be"])
@pytest.mark.parametrize("bits", [9, 10, 12, 14])
@pytest.mark.parametrize("full", [False, True])
def test_gray_of_any_depth_becomes_8_bits(full, bits, end):
    picture = av.VideoFrame(30, 15, f"gray{bits}{end}")
    level = round(200 * (2**bits - 1) / 255) if full else 200 << bits - 8
    plane = picture.planes[0]
    kind = {"le": "<u2", "be": ">u2"}[end]
    plane.update(np.full(plane.buffer_size // 2, level, kind).tobytes())
    y, u, v = read_planes(picture, "bt709", full, VideoReformatter())
    assert (y.shape, u.shape, v.shape) == ((15, 30), (8, 15), (8, 15))
    assert (y == 200).all() and (u == 128).all() and (v == 128).all()


@pytest.mark.parametrize("size", [(34, 18), (50, 22)])
def test_converted_planes_have_the_size_of_the_picture(size):
    picture = av.VideoFrame(*size, "yuv444p10le")
    width, height = size
    y, u, v = read_planes(picture, "bt709", False, VideoReformatter())
    assert y.shape == (height, width)
    assert u.shape == v.shape == (height // 2, width // 2)


@pytest.mark.parametrize(
    "pixel_format", ["nv12", "rgb24", "yuv411p", "yuv420p16le", "yuva420p", "gray16le"]
)
def test_other_formats_are_refused(pixel_format):
    picture = av.VideoFrame(64, 48, pixel_format)
    with pytest.raises(CodecError, match=f"expected 4:2:0.*got {pixel_format}"):
        read_planes(picture, "bt709", False, VideoReformatter())
