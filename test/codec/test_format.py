"""Which codec a message's text asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twnet_ros.codec import CodecError, codec_of_format

KNOWN = {
    "h264": "h264",
    "H264": "h264",
    " h264 ": "h264",
    "H.264": "h264",
    "h264; key": "h264",
    "libx264": "h264",
    "libopenh264": "h264",
    "h264_nvenc": "h264",
    "h264_vaapi": "h264",
    "h264_v4l2m2m": "h264",
    "h264;yuv420p;bgr8;bgr8": "h264",
    "libx264;yuv420p;bgr8;bgr8": "h264",
    "mpeg4": "mpeg4",
    "MPEG-4": "mpeg4",
    "mpeg4;yuv420p;rgb8;rgb8": "mpeg4",
    "libxvid": "mpeg4",
    "h264 baseline": "h264",
    "H264;yuv420p;bgr8;bgr8": "h264",
    "H.264/AVC high profile": "h264",
    "video/avc": "h264",
    "MPEG-4 part 2": "mpeg4",
    "MPEG-4 AVC": "h264",
    "mpeg-4 part 10": "h264",
    "MPEG-4 Part 10/AVC": "h264",
    "avc1.42E01E": "h264",
    "mp4v.20.9": "mpeg4",
    "hvc1.1.6.L93.B0": "hevc",
    "vp09.00.10.08": "vp9",
    "av01.0.04M.08": "av1",
    "hevc": "hevc",
    "H.265": "hevc",
    "hevc_nvenc": "hevc",
    "libx265;yuv420p;bgr8;bgr8": "hevc",
    "hvc1": "hevc",
    "VP9": "vp9",
    "libvpx-vp9": "vp9",
    "vp9_qsv": "vp9",
    "av1": "av1",
    "av1_vaapi": "av1",
    "libsvtav1": "av1",
    "libaom-av1": "av1",
}
OTHERS = [
    "",
    ";h264",
    "jpeg",
    "png",
    "rgb8; jpeg compressed bgr8",
    "vp8",
    "vp10",
    "av",
    "x2655",
    "h2645",
    "mpeg",
    "h264nvenc",
    "rgb8 jpeg; h264",
    "mjpeg",
    "16UC1; compressedDepth",
]


@pytest.mark.parametrize(("text", "codec"), KNOWN.items())
def test_known_names(text, codec):
    assert codec_of_format(text) == codec


@pytest.mark.parametrize("text", OTHERS)
def test_others_are_refused_with_what_was_expected(text):
    with pytest.raises(CodecError) as error:
        codec_of_format(text)
    assert "expected format 'h264', 'mpeg4', 'hevc', 'vp9', 'av1'" in str(error.value)
    assert repr(text) in str(error.value)


@given(st.sampled_from(sorted(KNOWN)), st.text(), st.booleans())
def test_only_what_precedes_the_semicolon_counts(name, rest, upper):
    name = name.split(";")[0]
    text = f"{name.upper() if upper else name};{rest}"
    assert codec_of_format(text) == codec_of_format(name)


@given(st.text())
def test_any_text_gives_a_codec_or_the_rooms_error(text):
    try:
        assert codec_of_format(text) in KNOWN.values()
    except CodecError as error:
        assert repr(text) in str(error)
