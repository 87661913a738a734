"""What the first bits of a VP9 frame say (VP9 bitstream specification, clause 7.2)."""

from __future__ import annotations

from twnet_ros.codec.bit import BitReader
from twnet_ros.codec.error import CodecError

_MARKER = 2
_HEADER_BYTES = 5  # up to the sync code, of every profile
_SYNC_CODE = 0x498342


def begins_with_key_frame(data: bytes) -> bool:
    """Tell whether a frame, or the first of a superframe, is a key frame; CodecError for none."""
    bits = BitReader(data[:_HEADER_BYTES])
    marker = bits.read(2)
    if marker != _MARKER:
        raise CodecError(f"expected a VP9 frame (frame_marker 2), got frame_marker {marker}")
    profile = bits.read(1) | bits.read(1) << 1
    if profile == 3 and bits.flag():
        raise CodecError("expected a VP9 frame of profile 0 to 3, got a reserved one")
    if bits.flag():  # show_existing_frame
        return False
    if bits.flag():  # frame_type
        return False
    bits.read(2)  # show_frame, error_resilient_mode
    sync_code = bits.read(24)
    if sync_code != _SYNC_CODE:
        raise CodecError(
            f"expected the VP9 sync code {_SYNC_CODE:06x} in a key frame, got {sync_code:06x}"
        )
    return True
