"""The window of ``twnet view``, as a program of its own.

OpenCV and PyAV bring a libxcb each, and a window that is opened where both are loaded hangs; and
some of OpenCV's windows end the process where there is no display. So pictures come through
standard input, each as height and width (32 bits, little-endian) and its bytes (BGR). "open" on
standard output tells that the window is.
"""

import os
import re
import select
import signal
import struct
import sys

import cv2
import numpy as np

TITLE = "twnet view"
POLL_MS = 10


def main(hold: bool) -> None:
    """Show pictures until q, Esc or the window's button is pressed, or, unless held, their end."""
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        sys.exit(
            "this OpenCV is built without windows: pip install opencv-python in the place of "
            "opencv-python-headless"
        )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who sends the pictures ends them
    cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
    cv2.waitKey(POLL_MS)
    print("open", flush=True)
    more, size = True, (0, 0)
    while more or hold:
        if more and select.select([0], [], [], 0)[0]:
            header = _read(8)
            more = len(header) == 8
            if more:
                height, width = struct.unpack("<II", header)
                data = np.frombuffer(_read(height * width * 3), np.uint8)
                if size != (width, height):
                    size = (width, height)
                    cv2.resizeWindow(TITLE, *size)
                cv2.imshow(TITLE, data.reshape(height, width, 3))
        key = cv2.waitKey(POLL_MS) & 0xFF
        if key in (27, ord("q")) or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            return


def _read(count: int) -> bytearray:
    """Read so many bytes, or what there is before the end."""
    data = bytearray()
    while len(data) < count:
        piece = os.read(0, count - len(data))
        if not piece:
            break
        data += piece
    return data


if __name__ == "__main__":
    main(hold=sys.argv[1:] == ["hold"])
