"""``twnet bag``, and the sub-commands that read a bag, against the same video as a file."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from twnet_ros.codec import read_packets

STREET = Path(__file__).parents[1] / "twnet_ros" / "bag" / "street"


@pytest.fixture
def messages():
    """Read a bag's MCAP file with the format's own library, by topic."""

    def read(bag):
        found = {}
        with (bag / f"{bag.name}.mcap").open("rb") as file:
            reader = make_reader(file, decoder_factories=[DecoderFactory()])
            for _, channel, _, decoded in reader.iter_decoded_messages():
                found.setdefault(channel.topic, []).append(decoded)
        return found

    return read


@pytest.fixture
def tiny(model):
    """A random network, and what it runs on."""
    return "--model", model, "--device", "cpu", "--precision", "fp32"


@pytest.fixture
def write(tmp_path, pan_over):
    """Write pictures of a panning camera, and labels, under these names."""

    def make(names, folder="frames", endings=("", ""), width=96, height=64):
        frames = tmp_path / folder
        frames.mkdir(parents=True, exist_ok=True)
        (tmp_path / "labels").mkdir(exist_ok=True)
        pictures = pan_over(len(names), width=width, height=height, square=8, blur=6)
        for number, (name, rgb) in enumerate(zip(names, pictures, strict=True)):
            cv2.imwrite(str(frames / f"{name}{endings[0]}.png"), rgb[..., ::-1])
            truth = np.full((height, width), number, np.uint8)
            cv2.imwrite(str(tmp_path / "labels" / f"{name}{endings[1]}.png"), truth)
        return frames

    return make


def stamps(decoded):
    return [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in decoded]


def test_frames_with_labels(twnet, write, messages, tmp_path):
    frames = write([f"{n:05d}" for n in range(4)])
    labels = ("--labels", tmp_path / "labels")
    bag = tmp_path / "bag"
    status, out, _ = twnet("bag", frames, bag, "--fps", 10, "--gop", 2, *labels)
    assert status == 0
    counts = {"/camera/labels": 4, "/camera/image/compressed": 4}
    assert json.loads(out[-1]) == {"bag": str(bag), "storage": "mcap", "messages": counts}
    found = messages(bag)
    expected = [10**9 + n * 10**8 for n in range(4)]
    assert stamps(found["/camera/image/compressed"]) == expected
    assert stamps(found["/camera/labels"]) == expected
    for number, image in enumerate(found["/camera/labels"]):
        assert set(bytes(image.data)) == {number}
    status, out, _ = twnet("inspect", bag, "--json")
    assert [row["type"] for row in json.loads(out[-1])] == list("IPIP")


def test_the_fastest_rate_that_encoders_take(twnet, write, messages, tmp_path):
    """Its frames' times are rounded to nanoseconds, which are a rate above it."""
    frames = write(["00000", "00001"])
    assert twnet("bag", frames, tmp_path / "bag", "--fps", 65535)[0] == 0
    found = messages(tmp_path / "bag")["/camera/image/compressed"]
    assert stamps(found) == [10**9, 10**9 + round(1e9 / 65535)]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize(
    "codec, suffix, kind",
    [
        ("h264", ".mp4", "foxglove"),
        ("h264", ".mkv", "compressed_image"),
        ("mpeg4", ".avi", "ffmpeg"),
        ("mpeg4", ".mp4", "compressed_image"),
    ],
)
def test_a_bag_is_labelled_as_the_file(twnet, write, tiny, tmp_path, codec, suffix, kind, storage):
    clip, bag = tmp_path / f"clip{suffix}", tmp_path / "bag"
    frames = write([f"{n:05d}" for n in range(7)])
    assert twnet("encode", frames, clip, "--codec", codec, "--gop", 3)[0] == 0
    assert twnet("bag", clip, bag, "--as", kind, "--storage", storage)[0] == 0
    for source, folder in ((clip, "a"), (bag, "b")):
        status, out, _ = twnet("segment", source, *tiny, "--labels", tmp_path / folder)
        assert status == 0
        assert json.loads(out[-1])["frames"] == 7
    for path in sorted((tmp_path / "a").iterdir()):
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()
    by_file, by_bag = (twnet("inspect", source, "--json")[1] for source in (clip, bag))
    assert by_bag == by_file


def test_a_video_keeps_its_packets_and_times(twnet, write, messages, tmp_path):
    clip, bag = tmp_path / "clip.mp4", tmp_path / "bag"
    frames = write([f"{n:05d}" for n in range(5)])
    assert twnet("encode", frames, clip, "--codec", "h264", "--fps", 10)[0] == 0
    options = ("--topic", "/front/image/compressed", "--frame-id", "front")
    labels = ("--labels", tmp_path / "labels")
    assert twnet("bag", clip, bag, *options, *labels)[0] == 0
    found = messages(bag)
    video = found["/front/image/compressed"]
    assert [bytes(m.data) for m in video] == [p.data for p in read_packets(clip)[1]]
    assert stamps(video) == stamps(found["/front/labels"])
    assert np.diff(stamps(video)).tolist() == [10**8] * 4
    assert [set(bytes(m.data)) for m in found["/front/labels"]] == [{n} for n in range(5)]
    assert {m.header.frame_id for topic in found.values() for m in topic} == {"front"}
    assert twnet("inspect", bag, "--topic", "/front/image/compressed")[0] == 0


def write_reordered(clip, folder):
    """Encode pictures in H.264 with B-frames."""
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"x264-params": "bframes=2:b-adapt=0"}
        for path in sorted(folder.iterdir()):
            picture = cv2.imread(str(path))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("name", ["clip.avi", "clip.h264"])
@pytest.mark.parametrize("kind", ["ffmpeg", "foxglove"])
def test_b_frames_without_times_are_refused(twnet, write, tmp_path, name, kind):
    clip, bag = tmp_path / name, tmp_path / "bag"
    write_reordered(clip, write([f"{n:05d}" for n in range(7)]))
    status, _, error = twnet("bag", clip, bag, "--as", kind)
    assert status == 1 and not bag.exists()
    assert f"{name}: expected times at which frames are shown" in error[-1]


def copy_without(whole, cut, left_out):
    """Copy a video but for the packets of these numbers."""
    with av.open(str(whole)) as source, av.open(str(cut), "w") as sink:
        copied = sink.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux()):
            if packet.size and number not in left_out:
                packet.stream = copied
                sink.mux(packet)


def test_labels_of_a_video_are_numbered_as_segment_has_them(
    twnet, write, messages, tiny, tmp_path
):
    """From the first frame that can be decoded on."""
    whole, cut, bag = tmp_path / "whole.mp4", tmp_path / "cut.mkv", tmp_path / "bag"
    frames = write([f"{n:05d}" for n in range(8)])
    assert twnet("encode", frames, whole, "--codec", "h264", "--gop", 4, "--fps", 10)[0] == 0
    copy_without(whole, cut, {0, 1})
    assert twnet("segment", cut, *tiny, "--labels", tmp_path / "ids")[0] == 0
    numbers = [int(path.stem) for path in sorted((tmp_path / "ids").iterdir())]
    assert numbers == [0, 1, 2, 3]
    assert twnet("bag", cut, bag, "--labels", tmp_path / "labels")[0] == 0
    found = messages(bag)
    shown = stamps(found["/camera/image/compressed"])
    assert stamps(found["/camera/labels"]) == shown[2:] and len(shown) == 6
    assert [set(bytes(m.data)) for m in found["/camera/labels"]] == [{n} for n in numbers]


def test_labels_of_a_video_that_lacks_frames_are_refused(twnet, write, tmp_path):
    """By their numbers they would be those of other frames."""
    whole, cut, bag = tmp_path / "whole.mp4", tmp_path / "cut.mkv", tmp_path / "bag"
    frames = write([f"{n:05d}" for n in range(8)])
    assert twnet("encode", frames, whole, "--codec", "h264", "--gop", 4, "--fps", 10)[0] == 0
    copy_without(whole, cut, {1})
    status, _, error = twnet("bag", cut, bag, "--labels", tmp_path / "labels")
    assert status == 1
    assert "got none of 2 packets, the first of them at 0.20 s" in error[-1]
    assert not bag.exists()
    assert twnet("bag", cut, bag)[0] == 0


def test_labels_of_a_video_are_numbered_as_its_frames_are_shown(twnet, write, messages, tmp_path):
    clip, bag = tmp_path / "clip.mp4", tmp_path / "bag"
    write_reordered(clip, write([f"{n:05d}" for n in range(7)]))
    assert twnet("bag", clip, bag, "--as", "ffmpeg", "--labels", tmp_path / "labels")[0] == 0
    labels = messages(bag)["/camera/labels"]
    by_stamp = dict(zip(stamps(labels), labels, strict=True))
    assert list(by_stamp) != sorted(by_stamp)  # they were coded in another order
    assert [set(bytes(by_stamp[at].data)) for at in sorted(by_stamp)] == [{n} for n in range(7)]


@pytest.mark.parametrize(
    "name, folder, written, expected",
    [
        ("a_1", "labels", 11, 11),
        ("a_1", "valannot", 11, 255),  # SegNet's CamVid
        ("a_1_L", "labels", (128, 64, 128), 3),  # CamVid's own, road
        ("ulm_000000_000019_gtFine_labelIds", "labels", 7, 0),
        ("ulm_000000_000019_gtFine_labelTrainIds", "labels", 13, 13),
    ],
)
def test_each_kind_of_label_is_read_as_train_ids(
    twnet, write, messages, tmp_path, name, folder, written, expected
):
    stem = "ulm_000000_000019_leftImg8bit" if name.startswith("ulm") else "a_1"
    frames, labels = write([stem]), tmp_path / "found" / folder
    labels.mkdir(parents=True)
    picture = np.full((64, 96, np.size(written)), written, np.uint8)[..., ::-1]
    cv2.imwrite(str(labels / f"{name}.png"), picture)
    assert twnet("bag", frames, tmp_path / "bag", "--labels", labels)[0] == 0
    (image,) = messages(tmp_path / "bag")["/camera/labels"]
    assert set(bytes(image.data)) == {expected}


@pytest.fixture
def write_cityscapes(write, tmp_path):
    """Write snippets of three frames in the published layout, with times, cameras and labels."""
    at = Path("val", "ulm")

    def make(snippets, width, height):
        for snippet in range(snippets):
            names = [f"ulm_00000{snippet}_00000{n}" for n in range(3)]
            ending = ("_leftImg8bit", "_gtFine_labelTrainIds")
            frames = write(names, Path("leftImg8bit_sequence", at), ending, width, height)
            for number, name in enumerate(names):
                for folder in ("timestamp_sequence", "camera"):
                    (tmp_path / folder / at).mkdir(parents=True, exist_ok=True)
                path = tmp_path / "timestamp_sequence" / at / f"{name}_timestamp.txt"
                path.write_text(str(number * 59_000_000))
            path = tmp_path / "camera" / at / f"{names[1]}_camera.json"
            intrinsic = {"fx": 2262.5, "fy": 2265.3, "u0": 1096.9, "v0": 513.1}
            path.write_text(json.dumps({"intrinsic": intrinsic}))
        return frames

    return make


def test_cityscapes_as_it_is_published(twnet, write_cityscapes, messages, tmp_path):
    frames = write_cityscapes(1, 2048, 1024)
    assert twnet("bag", frames, tmp_path / "bag", "--labels", tmp_path / "labels")[0] == 0
    found = messages(tmp_path / "bag")
    expected = [10**9 + n * 59_000_000 for n in range(3)]
    for topic in ("/camera/image/compressed", "/camera/camera_info", "/camera/labels"):
        assert stamps(found[topic]) == expected
    k = (2262.5, 0.0, 1096.9, 0.0, 2265.3, 513.1, 0.0, 0.0, 1.0)
    assert {tuple(m.k) for m in found["/camera/camera_info"]} == {k}
    assert {(m.width, m.height) for m in found["/camera/camera_info"]} == {(2048, 1024)}


def test_cityscapes_times_cameras_and_labels(twnet, write_cityscapes, messages, tmp_path):
    cityscapes = write_cityscapes(2, 256, 128)
    labels = ("--labels", tmp_path / "labels")
    status, _, error = twnet("bag", cityscapes, tmp_path / "bag", *labels)
    # These pictures are not of the published size, which the calibration is for.
    assert status == 1
    assert "expected a calibration of the video's size, 256x128, got 2048x1024" in error[-1]
    assert not (tmp_path / "bag").exists()
    own = {
        "image_width": 256,
        "image_height": 128,
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"data": [0.0] * 5},
        "camera_matrix": {"data": [9.0] * 9},
        "rectification_matrix": {"data": [1.0] * 9},
        "projection_matrix": {"data": [7.0] * 12},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    given = ("--camera-info", tmp_path / "own.yaml")
    assert twnet("bag", cityscapes, tmp_path / "bag", *labels, *given)[0] == 0
    found = messages(tmp_path / "bag")
    expected = [10**9 + n * 59_000_000 for n in range(6)]
    for topic in ("/camera/image/compressed", "/camera/camera_info", "/camera/labels"):
        assert stamps(found[topic]) == expected
    assert {tuple(m.k) for m in found["/camera/camera_info"]} == {(9.0,) * 9}
    # Each snippet begins with a key frame.
    rows = json.loads(twnet("inspect", tmp_path / "bag", "--json")[1][-1])
    assert [row["type"] for row in rows] == list("IPPIPP")
    assert twnet("bag", cityscapes / "ulm_000001_000001", tmp_path / "one", *given)[0] == 0
    assert len(messages(tmp_path / "one")["/camera/camera_info"]) == 3


def test_what_is_wrong_is_said(twnet, write, tmp_path):
    frames = write([f"{n:05d}" for n in range(3)])
    clip, bag = tmp_path / "clip.avi", tmp_path / "bag"
    assert twnet("encode", frames, clip)[0] == 0
    for arguments, expected in (
        ((clip, bag, "--gop", 3), "--gop: expected frames to encode, got a video"),
        ((clip, bag, "--as", "foxglove"), "got MPEG-4 part 2"),
        ((tmp_path / "none", bag), "none: expected a video file or a folder of PNG or JPEG"),
        ((tmp_path / "tiny.txt", bag), "tiny.txt: expected a video file or a folder"),
        ((frames, bag, "--labels", tmp_path / "none"), "expected the labels of some frames"),
        ((frames, bag, "--camera-info", tmp_path / "none.yaml"), "none.yaml"),
        ((frames, tmp_path), "expected a new folder, which exists already"),
    ):
        status, out, error = twnet("bag", *arguments)
        assert (status, out) == (1, [])
        assert expected in error[-1]
        assert not bag.exists()
    status, _, error = twnet("segment", clip, "--topic", "/a")
    assert (status, "--topic: expected a bag, got" in error[-1]) == (1, True)
    status, _, error = twnet("segment", frames)
    assert (status, "a video by `twnet encode`)" in error[-1]) == (1, True)
    status, _, error = twnet("inspect", tmp_path / "none.mcap")
    assert (status, "expected a bag, got" in error[-1]) == (1, True)


@pytest.mark.parametrize(
    "topic", ["/camera/labels", "/camera/camera_info", "/my cam", "camera", "/"]
)
def test_a_topic_is_one_of_video(twnet, write, tmp_path, topic):
    frames = write(["00000"])
    status, _, error = twnet("bag", frames, tmp_path / "bag", "--topic", topic)
    assert status == 1
    assert "expected a topic" in error[-1] and topic in error[-1]
    assert not (tmp_path / "bag").exists()


def test_a_bag_with_labels_is_scored(twnet, write, tiny, tmp_path):
    frames, bag = write([f"{n:05d}" for n in range(3)]), tmp_path / "bag"
    labels = ("--labels", tmp_path / "labels")
    assert twnet("bag", frames, bag, "--gop", 2, *labels)[0] == 0
    classes = tmp_path / "classes.json"
    classes.write_text('{"names": ["a", "b", "c"], "colors": [[9, 9, 9], [9, 9, 9], [9, 9, 9]]}')
    step = ("evaluate", *tiny[1:], "--data", bag, "--classes", classes)
    status, out, error = twnet(*step, "--methods", "twnet", "per_frame")
    assert status == 0, error
    assert out[0].startswith("a drive of 3 frames, 3 of which are scored, in h264, 2 I-frames")
    rows = [line for line in out if line.startswith("| tiny")]
    assert [row.split(" | ")[1] for row in rows[:2]] == ["twnet", "per_frame"]
    image = "/camera/image/compressed"
    assert twnet(*step, "--methods", "twnet", "--topic", image)[0] == 0
    status, _, error = twnet(*step, "--topic", "/none")
    assert (status, "expected video on /none" in error[-1]) == (1, True)
    status, _, error = twnet(*step[:-3], "streets", "--topic", image)
    assert (status, "--topic: expected a bag, got streets" in error[-1]) == (1, True)
    status, _, error = twnet(*step, "--distance", 1)
    assert (status, "--distance: expected none, as all of a bag's drive" in error[-1]) == (1, True)
    status, _, error = twnet(*step, "--gop", 24)
    assert (status, "--gop: expected none, as all of a bag's drive" in error[-1]) == (1, True)
    named = ("--labels-topic", "/camera/labels")
    assert twnet(*step, "--methods", "twnet", *named)[0] == 0
    status, _, error = twnet(*step, "--labels-topic", "/segment/labels")
    assert (status, "expected labels on /segment/labels" in error[-1]) == (1, True)
    status, _, error = twnet(*step[:-3], "streets", *named)
    assert (status, "--labels-topic: expected a bag, got streets" in error[-1]) == (1, True)
    assert twnet("bag", frames, tmp_path / "bare")[0] == 0
    status, _, error = twnet(*step[:-3], tmp_path / "bare", "--classes", classes)
    assert (status, "expected labels on one topic that is called labels" in error[-1]) == (1, True)


def test_the_shipped_drive(twnet, messages):
    """It is what README says: three seconds at 10 Hz, with labels, small."""
    assert sum(path.stat().st_size for path in STREET.iterdir()) < 300_000
    found = messages(STREET)
    assert stamps(found["/camera/image/compressed"]) == stamps(found["/camera/labels"])
    assert np.diff(stamps(found["/camera/labels"])).tolist() == [10**8] * 29
    assert {(m.width, m.height) for m in found["/camera/labels"]} == {(320, 160)}
    status, out, _ = twnet("inspect", STREET, "--json")
    rows = json.loads(out[-1])
    assert len(rows) == 30
    assert all(row["intact"] for row in rows)
