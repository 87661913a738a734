"""Pictures side by side: where each is, at what size, and what is left blank."""

from dataclasses import replace

import numpy as np
import pytest

from twnet_ros.codec import FrameKind
from twnet_ros.segment.contact import (
    COLUMNS,
    contact_sheet,
    four_panes,
    legend,
    side_pictures,
)
from twnet_ros.segment.inspection import inspect
from twnet_ros.segment.render import render_motion, render_residual, to_rgb

MARGIN, LINE = 8, 22
WIDTH = 160


def plain(color, rows=40, columns=80):
    return np.full((rows, columns, 3), color, np.uint8)


RED, GREEN, BLUE, GREY = (plain(c) for c in ((255, 0, 0), (0, 200, 0), (0, 0, 255), (90, 90, 90)))


def panes(picture, width=WIDTH, height=WIDTH // 2):
    """Cut the four panes out of their picture, in their order."""
    assert picture.shape == (2 * (LINE + height + MARGIN), 2 * (width + MARGIN) + MARGIN, 3)
    rows = (LINE, 2 * LINE + height + MARGIN)
    columns = (MARGIN, 2 * MARGIN + width)
    return [picture[y : y + height, x : x + width] for y in rows for x in columns]


def test_four_panes_are_in_reading_order_and_of_one_size():
    small = plain((0, 200, 0), 10, 20)  # as a node's motion may be smaller than its picture
    got = panes(four_panes(COLUMNS, [RED, small, BLUE, GREY], "", WIDTH))
    for pane, expected in zip(got, (RED, GREEN, BLUE, GREY), strict=True):
        assert (pane == expected[0, 0]).all()


def test_a_pane_without_a_picture_is_blank_but_for_a_word():
    got = panes(four_panes(COLUMNS, [None, GREEN, BLUE, GREY], "", WIDTH))
    assert (got[0][LINE:] == 255).all() and (got[0][:LINE] < 100).any()
    assert (got[1] == GREEN[0, 0]).all()


def test_a_title_stands_behind_the_first_name():
    bare, titled = (four_panes(COLUMNS, [RED] * 4, title, WIDTH) for title in ("", "frame 7"))
    changed = (bare != titled).any(2)
    assert changed[:LINE, : WIDTH + MARGIN].any() and not changed[LINE:].any()


def test_a_legend_has_a_square_for_each_name():
    colors = np.array([[255, 0, 0], [0, 200, 0], [0, 0, 255]], np.uint8)
    got = legend(["a", "b", "c"], colors, width=340, step=150)  # two a line
    assert got.shape == (2 * LINE + MARGIN, 340, 3)
    for x, y, color in ((MARGIN, 0, 0), (MARGIN + 150, 0, 1), (MARGIN, LINE, 2)):
        assert (got[y + 4 : y + 18, x : x + 14] == colors[color]).all()
    assert (got[LINE:, MARGIN + 140 :] == 255).all()


def test_a_legend_has_a_colour_for_each_name():
    with pytest.raises(ValueError):
        legend(["a", "b"], np.zeros((1, 3), np.uint8), width=300)


def test_side_pictures_are_those_of_the_renderers(clip):
    for found in inspect(clip(3, gop=3)):
        picture, motion, residual = side_pictures(found)
        frame = found.frame
        np.testing.assert_array_equal(picture, to_rgb(frame))
        if frame.key:
            assert motion is None and residual is None
        else:
            drawn = render_motion(frame.motion, frame.height, frame.width)
            np.testing.assert_array_equal(motion, drawn)
            np.testing.assert_array_equal(residual, render_residual(found.residual))


def test_a_contact_sheet_has_a_row_a_frame_and_names_what_occurs(clip):
    colors = np.array([[255, 0, 0], [0, 200, 0], [0, 0, 255]], np.uint8)
    frames = [
        (found, np.full((found.frame.height, found.frame.width), label, np.uint8))
        for found, label in zip(inspect(clip(2, gop=2)), (2, 255), strict=True)
    ]
    sheet = contact_sheet(frames, ["a", "b", "c"], colors, WIDTH)
    height = round(frames[0][0].frame.height * WIDTH / frames[0][0].frame.width)
    assert sheet.shape[0] == LINE + 2 * (height + MARGIN) + LINE + MARGIN
    last = slice(3 * (WIDTH + MARGIN) + MARGIN, 4 * (WIDTH + MARGIN))
    assert (sheet[LINE : LINE + height, last] == colors[2]).all()
    second = LINE + height + MARGIN
    assert (sheet[second : second + height, last] == 0).all()  # no class has the id 255
    key, other = (sheet[row : row + height, WIDTH + 2 * MARGIN :] for row in (LINE, second))
    assert (key[LINE:, :WIDTH] == 255).all() and not (other[LINE:, :WIDTH] == 255).all()
    squares = sheet[-LINE - MARGIN :]
    assert (squares[4:18, MARGIN : MARGIN + 14] == colors[2]).all()  # c alone
    assert not (squares == colors[0]).all(2).any()


def test_a_frame_without_vectors_is_not_taken_for_an_i_frame(clip):
    found = next(iter(inspect(clip(1))))
    bare = replace(found, frame=replace(found.frame, kind=FrameKind.B))
    labels = np.zeros((found.frame.height, found.frame.width), np.uint8)
    height = round(found.frame.height * 400 / found.frame.width)
    motion = np.s_[LINE : LINE + height, 400 + 2 * MARGIN : 2 * (400 + MARGIN)]
    sheets = [
        contact_sheet([(one, labels)], ["a"], np.zeros((1, 3), np.uint8)) for one in (found, bare)
    ]
    words = [sheet[motion] for sheet in sheets]
    assert all((word < 128).any() for word in words) and not np.array_equal(*words)
