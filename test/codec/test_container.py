"""Files as self-contained packets: coded data unchanged, headers in band, times the file's own."""

from fractions import Fraction

import av
import numpy as np
import pytest

from twnet_ros.codec import CodecError, StreamDecoder, read_packets, write_clip

CODECS = ["mpeg4", "h264"]
FILES = [(codec, suffix) for codec in CODECS for suffix in (".mp4", ".avi", ".mkv")]


@pytest.fixture(params=FILES, ids=lambda case: "".join(case))
def clip(request, pan, tmp_path):
    codec, suffix = request.param
    path = tmp_path / f"clip{suffix}"
    write_clip(path, pan(11), codec=codec, gop=4, fps=20.0)
    return codec, path


def demux(path):
    """Return the file's packets as the container holds them."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def pictures(path):
    with av.open(str(path)) as container:
        return [picture.to_ndarray() for picture in container.decode(video=0)]


def assert_decodes_from_every_key_packet(codec, packets, expected):
    for start in (i for i, packet in enumerate(packets) if packet.key):
        decoder = StreamDecoder(codec)
        frames = [frame for packet in packets[start:] for frame in decoder.decode(packet.data)]
        frames += decoder.flush()
        assert len(frames) == len(packets) - start
        for frame, planes in zip(frames, expected[start:], strict=True):
            assert frame.intact
            chroma = planes[frame.height :].reshape(2, frame.height // 2, frame.width // 2)
            np.testing.assert_array_equal(frame.y, planes[: frame.height])
            np.testing.assert_array_equal(frame.u, chroma[0])
            np.testing.assert_array_equal(frame.v, chroma[1])


def test_info(clip):
    codec, path = clip
    info, packets = read_packets(path)
    assert (info.codec, info.width, info.height, info.fps) == (codec, 176, 144, 20.0)
    assert info.frames in (11, None)
    assert not info.reorders
    assert info.pixel_aspect == 1
    packets.close()


@pytest.fixture
def write_h264(pan, tmp_path):
    """Write an H.264 file whose stream is changed before it begins."""

    def write(name, change):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("libx264", 10)
            stream.width, stream.height, stream.pix_fmt = 176, 144, "yuv420p"
            change(stream)
            for rgb in pan(3):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
            container.mux(stream.encode(None))
        return tmp_path / name

    return write


@pytest.mark.parametrize("degrees", [90, 180])
def test_pictures_that_are_to_be_turned_are_refused(write_h264, degrees):
    path = write_h264("phone.mp4", lambda stream: stream.set_display_rotation(degrees))
    with pytest.raises(
        CodecError, match=rf"upright, got .* by -?{degrees} degrees in .*phone.mp4"
    ):
        read_packets(path)


def test_the_shape_of_pixels(write_h264):
    def widen(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    assert read_packets(write_h264("wide.mp4", widen))[0].pixel_aspect == pytest.approx(4 / 3)


def test_times_are_those_at_which_pictures_are_shown(reordered_clip):
    info, packets = read_packets(reordered_clip)
    times_ns = [packet.pts_ns for packet in packets]
    assert info.reorders and times_ns != sorted(times_ns)
    first = min(times_ns)
    assert sorted(time - first for time in times_ns) == [n * 10**8 for n in range(13)]
    decoder = StreamDecoder(info.codec)
    _, packets = read_packets(reordered_clip)
    frames = [one for packet in packets for one in decoder.decode(packet.data, packet.pts_ns)]
    assert [frame.pts for frame in frames + decoder.flush()] == sorted(times_ns)


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
def test_the_rate_is_that_of_the_times(pan, tmp_path, suffix):
    """As network cameras have it: FFmpeg would take the clock of the container for the rate."""
    path = tmp_path / f"camera{suffix}"
    rng = np.random.default_rng(0)
    times_ms = np.arange(40) * 1000 / 30 + rng.uniform(-7, 7, 40) + 100
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 176, 144, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        pictures = [av.VideoFrame.from_ndarray(rgb, "rgb24") for rgb in pan(40)]
        for picture, time_ms in zip(pictures, np.delete(times_ms, [20]), strict=False):
            picture.pts, picture.time_base = round(time_ms), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    assert read_packets(path)[0].fps == pytest.approx(30, rel=0.02)


def test_a_title_in_latin_1_is_no_fault(pan, tmp_path):
    path = tmp_path / "dashcam.avi"
    write_clip(path, pan(2), codec="mpeg4")
    with av.open(str(path)) as plain, av.open(str(tmp_path / "titled.avi"), "w") as titled:
        titled.metadata["title"] = "Koeln"
        stream = titled.add_stream_from_template(plain.streams.video[0])
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = stream
                titled.mux(packet)
    data = (tmp_path / "titled.avi").read_bytes()
    assert b"Koeln" in data
    path.write_bytes(data.replace(b"Koeln", "Köln ".encode("latin-1")))
    info, packets = read_packets(path)
    assert info.codec == "mpeg4"
    assert len(list(packets)) == 2


def test_an_empty_sample_in_a_file_is_no_packet(pan, tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, pan(6), codec="mpeg4")
    whole = [packet.data for packet in read_packets(path)[1]]
    data = path.read_bytes()
    table = data.index(b"stsz") + 16  # the samples' sizes, of four bytes, follow
    third, last, end = table + 2 * 4, table + 5 * 4, table + 6 * 4
    path.write_bytes(data[:third] + bytes(4) + data[third:last] + data[end:])
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(video=0)]
    assert [size > 0 for size in sizes[:6]] == [True, True, False, True, True, True]
    assert [packet.data for packet in read_packets(path)[1]] == whole[:5]


def test_packets_hold_the_files_own_data(clip):
    codec, path = clip
    _, packets = read_packets(path)
    for packet, raw in zip(packets, demux(path), strict=True):
        # H.264 in MP4 and MKV has a length where Annex B has a start code.
        prefixed = codec == "h264" and path.suffix != ".avi"
        for unit in nal_units(raw) if prefixed else [raw]:
            assert unit in packet.data
        assert packet.data.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01"))


def test_times_and_keys(clip):
    _, path = clip
    packets = list(read_packets(path)[1])
    assert [packet.key for packet in packets] == [i % 4 == 0 for i in range(11)]
    # Matroska rounds to ms.
    np.testing.assert_allclose(
        [packet.pts_ns for packet in packets], np.arange(11) * 50_000_000, atol=500_000
    )


def test_any_key_packet_starts_a_fresh_decoder(clip):
    codec, path = clip
    assert_decodes_from_every_key_packet(codec, list(read_packets(path)[1]), pictures(path))


@pytest.mark.parametrize(
    "name", ["street_2048x1024_mpeg4_gop12.avi", "street_2048x1024_h264_gop12.mp4"]
)
def test_shared_drives(name, drive):
    info, packets = read_packets(drive(name))
    packets = list(packets)
    assert (info.width, info.height, info.fps, len(packets)) == (2048, 1024, 17.0, 30)
    assert [packet.key for packet in packets] == [i % 12 == 0 for i in range(30)]
    assert_decodes_from_every_key_packet(info.codec, packets, pictures(drive(name)))


def test_a_file_with_b_frames_says_so(drive):
    info, packets = read_packets(drive("street_2048x1024_h264_bframes.mp4"))
    packets.close()
    assert info.reorders


@pytest.mark.parametrize(("codec", "suffix"), [("mpeg4", ".m4v"), ("h264", ".h264")])
def test_raw_streams_whose_headers_come_once(codec, suffix, pan, encode, tmp_path):
    path = tmp_path / f"raw{suffix}"
    first, *rest = [packet.data for packet in encode(codec, pan(9), gop=4)]
    headers = headers_before_picture(codec, first)
    path.write_bytes(first + b"".join(data.removeprefix(headers) for data in rest))
    assert path.read_bytes().count(headers) == 1
    info, packets = read_packets(path)
    packets = list(packets)
    assert info.fps == 17.0
    assert [packet.key for packet in packets] == [i % 4 == 0 for i in range(9)]
    assert_decodes_from_every_key_packet(codec, packets, pictures(path))
    np.testing.assert_allclose(
        [packet.pts_ns for packet in packets], np.arange(9) / 17.0 * 1e9, atol=1000
    )


def test_mpeg4_in_mp4_has_headers_at_every_key_packet(pan, tmp_path):
    path = tmp_path / "clip.mp4"
    write_clip(path, pan(5), codec="mpeg4", gop=2)
    bare = demux(path)
    assert not any(raw.startswith(b"\x00\x00\x01\xb0") for raw in bare)
    for packet in read_packets(path)[1]:
        assert packet.data.startswith(b"\x00\x00\x01\xb0") == packet.key


def test_a_damaged_packet_is_handed_on(pan, tmp_path):
    path = tmp_path / "clip.avi"
    write_clip(path, pan(6), codec="mpeg4", gop=3)
    damaged = b"\xff" * 12
    path.write_bytes(path.read_bytes().replace(demux(path)[1][:12], damaged))
    info, packets = read_packets(path)
    packets = list(packets)
    assert packets[1].data.startswith(damaged)
    assert [packet.key for packet in packets] == [True, False, False, True, False, False]
    decoder = StreamDecoder(info.codec)
    decoder.decode(packets[0].data)
    with pytest.raises(CodecError, match="got ff ff ff ff"):
        decoder.decode(packets[1].data)


def test_closing_early_and_reading_again(clip):
    _, path = clip
    packets = read_packets(path)[1]
    first = next(packets)
    packets.close()
    assert list(packets) == []
    assert next(read_packets(path)[1]) == first


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CodecError, match=r"expected a video file, got .*none\.mp4.*not exist"):
        read_packets(tmp_path / "none.mp4")


def test_a_folder_is_named_as_one(tmp_path):
    with pytest.raises(CodecError, match="expected a video file, got .* is a folder"):
        read_packets(tmp_path)


def test_a_file_that_is_no_video(tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no video\n" * 100)
    with pytest.raises(CodecError, match="expected a video file, got .*text.mp4"):
        read_packets(path)


def test_a_file_without_a_video_stream(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(CodecError, match="expected a video stream, got none"):
        read_packets(path)


def test_another_codec_is_named(tmp_path):
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuvj420p")))
        container.mux(stream.encode(None))
    with pytest.raises(CodecError, match=r"expected H.264, .*AV1 video, got mjpeg"):
        read_packets(path)


def nal_units(data):
    """Split a length-prefixed access unit (ISO/IEC 14496-15, 4-byte lengths)."""
    units, offset = [], 0
    while offset < len(data):
        size = int.from_bytes(data[offset : offset + 4], "big")
        units.append(data[offset + 4 : offset + 4 + size])
        offset += 4 + size
    return units


def headers_before_picture(codec, data):
    if codec == "h264":  # SPS and PPS, up to the SEI
        return data[: data.index(b"\x00\x00\x01\x06")]
    # Up to the group of VOPs, which belongs to the picture.
    return data[: data.index(b"\x00\x00\x01\xb3")]
