"""``twnet view`` of a clip: four panes as a video, as a picture, or in a window."""

import os
import textwrap

import av
import cv2
import numpy as np
import pytest

from twnet_ros.cli import main
from twnet_ros.codec import write_clip
from twnet_ros.segment import Segmenter
from twnet_ros.segment.viewing import watch

FPS, FRAMES = 12.5, 11


@pytest.fixture(scope="module")
def clip(pan_over, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "pan.mp4"
    frames = pan_over(FRAMES, width=96, height=64, square=8, blur=3)
    write_clip(path, frames, codec="h264", gop=6, fps=FPS, crf=20)
    return path


@pytest.fixture(scope="module")
def expected(clip, model):
    return list(watch(clip, Segmenter.load(model, "cpu", "fp32")))


@pytest.fixture
def view(clip, model, capfd):
    """Run ``twnet view`` on the clip; return its exit status and its last line on stderr."""

    def run(*arguments):
        settings = ["--model", str(model), "--device", "cpu", "--precision", "fp32"]
        status = main(["view", str(clip), *settings, *map(str, arguments)])
        return status, (capfd.readouterr().err.splitlines() or [""])[-1]

    return run


def alike(got, expected):
    """Tell whether two pictures differ by no more than their titles, which tell times."""
    return (got[30:] == expected[30:]).all()


def test_it_writes_a_video_at_the_clips_rate(view, tmp_path, expected):
    assert view("-o", tmp_path / "view.mp4")[0] == 0
    with av.open(str(tmp_path / "view.mp4")) as video:
        assert float(video.streams.video[0].average_rate) == FPS
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == FRAMES
    for got, wanted in zip(frames, expected, strict=True):
        assert np.abs(got.astype(int) - wanted).mean() < 6  # H.264 with half the colour resolution


def test_it_writes_the_newest_picture(view, tmp_path, expected):
    assert view("-o", tmp_path / "view.png", "--frames", 3)[0] == 0
    assert alike(cv2.imread(str(tmp_path / "view.png"))[..., ::-1], expected[2])


def test_a_kind_of_file_that_it_cannot_write(view, tmp_path):
    status, said = view("-o", tmp_path / "view.gif")
    assert status == 1 and "expected a file name ending in" in said


# A stand-in for an OpenCV with windows, which keeps what it is asked to do.
FAKE_CV2 = """
import os
import numpy as np

WINDOW_NORMAL = WINDOW_GUI_NORMAL = WND_PROP_VISIBLE = 0

def getBuildInformation():
    return os.environ["FAKE_GUI"]

def namedWindow(title, flags):
    if os.environ.get("FAKE_ABORT"):
        os.write(2, b"some font is missing\\ncould not connect to display :5\\n")
        os.abort()

def resizeWindow(title, width, height):
    pass

def imshow(title, picture):
    folder = os.environ["FAKE_SHOWN"]
    np.save(f"{folder}/{len(os.listdir(folder))}.npy", picture)

def waitKey(ms):
    count = len(os.listdir(os.environ["FAKE_SHOWN"]))
    return ord("q") if count >= int(os.environ["FAKE_CLOSE_AFTER"]) else -1

def getWindowProperty(title, kind):
    return 1.0
"""


@pytest.fixture
def screen(tmp_path, monkeypatch):
    """Give the window's process that OpenCV; return the pictures that it showed."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "shown").mkdir()
    (tmp_path / "lib" / "cv2.py").write_text(textwrap.dedent(FAKE_CV2))
    path = os.pathsep.join([str(tmp_path / "lib"), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("FAKE_SHOWN", str(tmp_path / "shown"))
    monkeypatch.setenv("FAKE_GUI", "  GUI:      QT5")

    def shown():
        files = sorted((tmp_path / "shown").iterdir(), key=lambda file: int(file.stem))
        return [np.load(file)[..., ::-1] for file in files]

    return shown


def test_a_window_shows_every_frame_until_it_is_closed(view, screen, monkeypatch, expected):
    monkeypatch.setenv("FAKE_CLOSE_AFTER", str(FRAMES))  # it stays open for the last one
    assert view()[0] == 0
    assert len(screen()) == FRAMES
    assert all(alike(got, wanted) for got, wanted in zip(screen(), expected, strict=True))


def test_a_window_that_is_closed_ends_it(view, screen, monkeypatch):
    monkeypatch.setenv("FAKE_CLOSE_AFTER", "2")
    assert view()[0] == 0
    assert len(screen()) == 2


def test_without_a_display_it_says_so(view, screen, monkeypatch):
    monkeypatch.setenv("FAKE_ABORT", "1")
    status, said = view()
    assert status == 1 and "could not connect to display :5" in said and "-o view.mp4" in said


def test_without_windows_in_opencv_it_says_what_to_install(view, screen, monkeypatch):
    monkeypatch.setenv("FAKE_GUI", "  GUI:      NONE")
    status, said = view()
    assert status == 1 and "opencv-python-headless" in said and "-o view.mp4" in said
