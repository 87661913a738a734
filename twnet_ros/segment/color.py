"""YCbCr to RGB as the stream declares it."""

import numpy as np
from numpy.typing import NDArray

# Luma coefficients (red, blue) of ITU-R BT.601 and BT.709.
COEFFICIENTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


def ycc_to_rgb(matrix: str, full_range: bool) -> NDArray[np.float32]:
    """Return the affine map (3, 4) from YCbCr to RGB, both in 8-bit levels.

    ``rgb = map[:, :3] @ ycc + map[:, 3]``; ITU-T H.273, clause 8.3. ``matrix`` is ``bt601`` or
    ``bt709``; limited range spans luma 16 to 235 and chroma 16 to 240.
    """
    red, blue = COEFFICIENTS[matrix]
    green = 1 - red - blue
    linear = np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
            [1, 2 * (1 - blue), 0],
        ]
    )
    black = 0 if full_range else 16
    if not full_range:
        linear = linear * [255 / 219, 255 / 224, 255 / 224]
    offset = -linear @ [black, 128, 128]
    return np.column_stack([linear, offset]).astype(np.float32)
