"""Bags read as files are: the same packets, labels by stamp, and clear errors."""

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin, Writer

from coded import encode
from twnet_ros.bag import BagError, Shot, Stream, read_labels, read_packets, reader, write_bag
from twnet_ros.bag.writer import TYPES
from twnet_ros.codec import CodecError, Packet
from twnet_ros.codec import read_packets as read_file
from twnet_ros.codec.rate import LEAST_FPS, MOST_FPS

KINDS = ["compressed_image", "ffmpeg", "foxglove"]
STORAGES = ["mcap", "sqlite3"]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_packets_come_back(bag, shots, kind, storage):
    folder = bag(kind, storage)
    for path in (folder, folder / f"drive.{'mcap' if storage == 'mcap' else 'db3'}"):
        info, packets = read_packets(path)
        assert (info.codec, info.width, info.height, info.frames) == ("h264", 96, 64, 5)
        assert info.fps == pytest.approx(10)
        assert not info.reorders
        assert list(packets) == [shot.packet for shot in shots()]


def test_a_bag_gives_the_packets_of_the_file(clip, tmp_path):
    path = clip(codec="mpeg4", name="clip.avi")
    info, packets = read_file(path)
    shots = [Shot(Packet(p.data, p.pts_ns + 7, p.key)) for p in packets]
    write_bag(tmp_path / "b", Stream("ffmpeg", info.codec, info.width, info.height), shots)
    found, read = read_packets(tmp_path / "b")
    assert (found.codec, found.width, found.height) == (info.codec, info.width, info.height)
    assert [(p.data, p.key) for p in read] == [(p.data, p.key) for p in read_file(path)[1]]


def test_length_prefixed_and_bare_key_pictures_are_made_whole(bag, shots, tmp_path):
    """Key pictures lack headers after the first, and sizes stand for start codes."""
    made = shots(7)
    units = made[0].packet.data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
    kinds = [unit[0] & 31 for unit in units]
    assert kinds[:2] == [7, 8]

    def prefixed(data, bare):
        parts = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
        kept = [part for part in parts if not (bare and part[0] & 31 in (6, 7, 8))]
        return b"".join(struct.pack(">I", len(part)) + part for part in kept)

    sent = [
        Shot(Packet(prefixed(s.packet.data, n > 0), s.packet.pts_ns, s.packet.key))
        for n, s in enumerate(made)
    ]
    write_bag(tmp_path / "b", Stream("compressed_image", "h264", 96, 64), sent)
    _, packets = read_packets(tmp_path / "b")
    for number, (packet, shot) in enumerate(zip(packets, made, strict=True)):
        assert packet.key == shot.packet.key == (number % 3 == 0)
        assert packet.data.startswith((b"\0\0\0\1", b"\0\0\1"))
        assert (b"\0\0\1\x67" in packet.data) == packet.key


def test_b_frames_are_told(tmp_path, shots):
    made = [s.packet for s in shots()]
    stamps = [0, 3, 1, 2, 4]
    moved = [Shot(Packet(p.data, 10**9 + n, p.key)) for p, n in zip(made, stamps, strict=True)]
    write_bag(tmp_path / "b", Stream("ffmpeg", "h264", 96, 64), moved)
    info, packets = read_packets(tmp_path / "b")
    assert info.reorders
    assert [p.pts_ns - 10**9 for p in packets] == stamps


def test_a_bag_that_begins_between_key_frames(tmp_path, shots):
    made = shots(8)[1:]
    write_bag(tmp_path / "b", Stream("ffmpeg", "h264", 96, 64), made)
    info, packets = read_packets(tmp_path / "b")
    assert (info.width, info.height) == (96, 64)
    assert [p.key for p in packets] == [False, False, True, False, False, True, False]
    write_bag(tmp_path / "c", Stream("ffmpeg", "h264", 96, 64), made[:2])
    with pytest.raises(BagError, match="expected a key frame, found none in 2 packets"):
        read_packets(tmp_path / "c")


def test_a_bag_that_begins_long_before_a_key_frame(tmp_path, shots, monkeypatch):
    monkeypatch.setattr(reader, "_LOOKED_AT", 2)
    write_bag(tmp_path / "b", Stream("ffmpeg", "h264", 96, 64), shots(8)[1:])
    info, packets = read_packets(tmp_path / "b")
    assert (info.width, info.height, info.fps) == (96, 64, 10)
    assert len(list(packets)) == 7


@pytest.mark.parametrize(("step_ns", "fps"), [(3600 * 10**9, LEAST_FPS), (10, MOST_FPS)])
def test_the_rate_is_one_that_videos_can_have(tmp_path, shots, step_ns, fps):
    made = [
        Shot(Packet(shot.packet.data, 10**9 + n * step_ns, shot.packet.key))
        for n, shot in enumerate(shots(4))
    ]
    write_bag(tmp_path / "b", Stream("ffmpeg", "h264", 96, 64), made)
    assert read_packets(tmp_path / "b")[0].fps == pytest.approx(fps, rel=0.01)


def test_a_damaged_picture_that_comes_out_last_is_said_of_the_bag(tmp_path, pan):
    options = {"x264-params": "slices=4:bframes=2"}  # the first picture is held back
    (data,) = encode("h264", pan(1), options)
    data = data[: data.rindex(b"\0\0\1")]  # the last slice is lost
    shot = Shot(Packet(data, 10**9, True))
    write_bag(tmp_path / "b", Stream("ffmpeg", "h264", 96, 64), [shot])
    with pytest.raises(BagError, match=f"{tmp_path / 'b'}: expected a key frame.*conceal"):
        read_packets(tmp_path / "b")


@pytest.mark.parametrize("storage", STORAGES)
def test_labels_come_back_by_stamp(bag, storage):
    folder = bag(storage=storage, labels=True)
    for topic in ("", "/camera/labels"):
        labels = dict(read_labels(folder, topic))
        assert list(labels) == [10**9 + n * 10**8 for n in range(5)]
        for number, image in enumerate(labels.values()):
            np.testing.assert_array_equal(image, np.full((64, 96), number))
    with pytest.raises(BagError, match=r"expected labels on /a, got /camera/image/compressed \("):
        list(read_labels(folder, "/a"))


def test_of_several_topics_of_labels_one_is_to_be_named(tmp_path):
    kind, labels = "sensor_msgs/msg/Image", np.arange(6, dtype=np.uint8).reshape(2, 3)
    with Writer(tmp_path / "b", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for number, topic in enumerate(("/camera/labels", "/segment/labels")):
            connection = writer.add_connection(topic, kind, typestore=TYPES)
            stamp = TYPES.types["builtin_interfaces/msg/Time"](1, number)
            header = TYPES.types["std_msgs/msg/Header"](stamp, "camera")
            image = TYPES.types[kind](header, 2, 3, "mono8", 0, 3, labels.ravel() + number)
            writer.write(connection, 10**9, TYPES.serialize_cdr(image, kind))
    expected = "expected labels on one topic that is called labels, got /camera/labels .*, /segm"
    with pytest.raises(BagError, match=expected):
        list(read_labels(tmp_path / "b"))
    ((stamp_ns, image),) = read_labels(tmp_path / "b", "/camera/labels")
    assert stamp_ns == 10**9
    np.testing.assert_array_equal(image, labels)


@pytest.fixture
def mixed(shots, tmp_path):
    """Write a bag with topics of these (name, type, message fields), a message for each."""

    def make(*topics):
        with Writer(tmp_path / "mixed", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            header = TYPES.types["std_msgs/msg/Header"](
                TYPES.types["builtin_interfaces/msg/Time"](1, 0), "camera"
            )
            connections = {}
            for name, type_name, format, data in topics:
                if name not in connections:
                    connections[name] = writer.add_connection(name, type_name, typestore=TYPES)
                if data is not None:
                    message = TYPES.types[type_name](header, format, np.frombuffer(data, np.uint8))
                    raw = TYPES.serialize_cdr(message, type_name)
                    writer.write(connections[name], 10**9, raw)
        return tmp_path / "mixed"

    return make


IMAGE = "sensor_msgs/msg/CompressedImage"


def test_the_only_video_is_found_among_others(mixed, shots):
    data = shots()[0].packet.data
    path = mixed(
        ("/jpeg", IMAGE, "rgb8; jpeg compressed bgr8", b"\xff\xd8"),
        ("/front", IMAGE, "h264", data),
        ("/text", "std_msgs/msg/String", "", None),
    )
    assert [p.data for p in read_packets(path)[1]] == [data]
    assert [p.data for p in read_packets(path, "/front")[1]] == [data]
    with pytest.raises(BagError, match="/jpeg: expected format .*, got 'rgb8; jpeg"):
        read_packets(path, "/jpeg")
    with pytest.raises(BagError, match="expected video on /rear, got /front"):
        read_packets(path, "/rear")
    with pytest.raises(BagError, match=r"expected a topic of video .*/text \(std_msgs/"):
        read_packets(path, "/text")


def test_several_videos_are_named(mixed, shots):
    data = shots()[0].packet.data
    path = mixed(("/left", IMAGE, "h264", data), ("/right", IMAGE, "h264", data))
    with pytest.raises(BagError, match="expected one topic of video, got /left, /right: name one"):
        read_packets(path)
    assert [p.data for p in read_packets(path, "/right")[1]] == [data]


def test_a_topic_is_of_one_codec(mixed, shots):
    data = shots()[0].packet.data
    path = mixed(("/front", IMAGE, "h264", data), ("/front", IMAGE, "mpeg4", data))
    with pytest.raises(BagError, match="mixed: expected h264 all along /front, got mpeg4"):
        read_packets(path)


def test_no_video_tells_the_topics(mixed):
    path = mixed(("/text", "std_msgs/msg/String", "", None), ("/empty", IMAGE, "h264", None))
    with pytest.raises(BagError) as error:
        read_packets(path)
    assert "/text (std_msgs/msg/String)" in str(error.value)
    assert "/empty is empty" in str(error.value)
    assert "foxglove_msgs/msg/CompressedVideo" in str(error.value)


def own_mcap(path, type_name, definition, raw, language="ros2msg"):
    """Write an MCAP with one message of any definition."""
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start("ros2")
        schema = writer.register_schema(type_name, language, definition.encode())
        channel = writer.register_channel("/video", "cdr", schema)
        writer.add_message(channel, 10**9, raw, 10**9)
        writer.finish()
    return path


def foxglove_cdr(data, more=b"", order="<"):
    raw = struct.pack(order + "iI", 1, 0)
    for value in (b"camera\0", data, b"h264\0"):
        raw += bytes(-len(raw) % 4) + struct.pack(order + "I", len(value)) + value
    return (b"\0\1\0\0" if order == "<" else b"\0\0\0\0") + raw + more


DEFINITION = """# a video
builtin_interfaces/Time timestamp

string frame_id # optical
uint8[] data
"""


def test_later_fields_are_passed_over(shots, tmp_path):
    """A later foxglove_msgs has more fields behind the four."""
    data, name = shots()[0].packet.data, "foxglove_msgs/msg/CompressedVideo"
    definition = DEFINITION + "string format\nstring uuid\n"
    path = own_mcap(tmp_path / "a.mcap", name, definition, foxglove_cdr(data, b"\0\1\0\0\0\0"))
    assert [(p.data, p.pts_ns) for p in read_packets(path)[1]] == [(data, 10**9)]
    path = own_mcap(tmp_path / "b.mcap", name, definition, foxglove_cdr(data, order=">"))
    assert [p.data for p in read_packets(path)[1]] == [data]


IDL = """module foxglove_msgs { module msg { struct CompressedVideo {
  builtin_interfaces::msg::Time timestamp;
  string frame_id;
  sequence<octet> data;
  string format;
}; }; };
"""


@pytest.mark.parametrize("language", ["ros2idl", "omgidl"])
def test_fields_in_another_language_are_taken_for_the_right_ones(shots, tmp_path, language):
    data, name = shots()[0].packet.data, "foxglove_msgs/msg/CompressedVideo"
    path = own_mcap(tmp_path / "a.mcap", name, IDL, foxglove_cdr(data), language)
    assert [p.data for p in read_packets(path)[1]] == [data]


def test_other_fields_under_the_same_name_are_refused(shots, tmp_path):
    raw, name = foxglove_cdr(shots()[0].packet.data), "foxglove_msgs/msg/CompressedVideo"
    path = own_mcap(tmp_path / "a.mcap", name, DEFINITION + "uint8 kind\nstring format\n", raw)
    with pytest.raises(BagError, match="with the fields timestamp, .*, got timestamp, .* kind"):
        read_packets(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_is_cut(tmp_path, kind):
    own = Stream(kind, "h264", 96, 64).type
    for raw in (b"", b"\0\1\0\0", foxglove_cdr(b"x" * 50)[:40], b"\7\7\0\0" + bytes(60)):
        path = own_mcap(tmp_path / "a.mcap", own.type_name, own.definition, raw)
        with pytest.raises((BagError, CodecError)):
            read_packets(path)


def test_what_is_no_bag(tmp_path):
    (tmp_path / "frames").mkdir()
    with pytest.raises(BagError, match=r"frames: expected a bag, got a folder without metadata"):
        read_packets(tmp_path / "frames")
    with pytest.raises(BagError, match=r"expected a bag, got .*none.mcap, which does not exist"):
        read_packets(tmp_path / "none.mcap")
    (tmp_path / "text.mcap").write_text("no bag")
    with pytest.raises(BagError, match=r"text.mcap: expected a whole bag, got"):
        read_packets(tmp_path / "text.mcap")
    (tmp_path / "text.db3").write_text("no bag" * 1000)
    with pytest.raises(BagError, match=r"text.db3: expected a whole bag, got"):
        read_packets(tmp_path / "text.db3")
    (tmp_path / "frames" / "metadata.yaml").write_text("rosbag2_bagfile_information: [1]")
    with pytest.raises(BagError, match=r"frames: expected a whole bag, got"):
        read_packets(tmp_path / "frames")


@pytest.fixture
def files(bag):
    """The one file of a bag of each storage."""
    return {
        "mcap": bag(labels=True, name="a") / "a.mcap",
        "db3": bag(storage="sqlite3", labels=True, name="b") / "b.db3",
    }


@pytest.mark.parametrize("suffix", ["mcap", "db3"])
def test_a_cut_file_is_told(files, tmp_path, suffix):
    whole = files[suffix].read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for share in (0.0, 0.02, 0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(BagError, match=rf"cut.{suffix}: expected"):
            list(read_packets(path)[1])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_raises_nothing_else(files, tmp_path, data):
    suffix = data.draw(st.sampled_from(["mcap", "db3"]))
    content = bytearray(files[suffix].read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / f"damaged.{suffix}"
    path.write_bytes(content[: data.draw(st.integers(0, 2 * len(content)))])
    for read in (lambda: list(read_packets(path)[1]), lambda: list(read_labels(path))):
        with contextlib.suppress(BagError, CodecError):
            read()


def test_files_are_closed(bag):
    folder = bag()

    def is_open():
        links = Path("/proc/self/fd").iterdir()
        return any(link.resolve().is_relative_to(folder.resolve()) for link in links)

    _, packets = read_packets(folder)
    next(packets)
    assert is_open()
    packets.close()
    assert not is_open()
