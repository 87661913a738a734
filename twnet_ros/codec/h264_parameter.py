"""What the parameter sets of H.264 say (ITU-T H.264 clauses 7.3.2.1.1, 7.3.2.2 and E.1)."""

from __future__ import annotations

from dataclasses import dataclass

from twnet_ros.codec.bit import BitReader
from twnet_ros.codec.error import CodecError
from twnet_ros.codec.limit import MOST_PIXELS

PARAMETER_SET_BYTES = 1024  # far more than any has
MOST_REORDERED = 16  # the largest decoded picture buffer (A.3.1)
_MOST_KEPT_PIXELS = 4 * MOST_PIXELS  # in references together: 16 of 4096x4096

# Profiles whose SPS has the chroma format and scaling lists (7.3.2.1.1).
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_BASELINE = 66
_MONOCHROME, _YUV420, _YUV444 = 0, 1, 3
_EXTENDED_ASPECT_RATIO = 255
_EXPLICIT_WEIGHTS = 1
_MOST_OFFSETS = 255  # num_ref_frames_in_pic_order_cnt_cycle (7.4.2.1.1)
_MOST_BUFFERS = 32  # cpb_cnt_minus1 + 1 (E.2.2)


@dataclass(frozen=True, slots=True)
class SequenceParameterSet:
    """A sequence parameter set: how its pictures are numbered and what they may be."""

    id: int
    separate_planes: bool
    colored: bool  # chroma_format_idc is not 0
    frame_num_bits: int
    order_type: int  # pic_order_cnt_type
    order_bits: int  # of pic_order_cnt_lsb, 0 unless the type is 0
    order_deltas: bool  # slices carry delta_pic_order_cnt
    references: int  # max_num_ref_frames
    gaps_allowed: bool  # gaps_in_frame_num_value_allowed_flag
    frames_only: bool  # frame_mbs_only_flag
    adaptive_fields: bool  # mb_adaptive_frame_field_flag: frames may hold macroblocks of fields
    macroblocks: int  # of a frame
    shifted: bool  # cropped at the left or at the top
    reordered: int  # most pictures decoded before and shown after another
    unsupported: str  # '' or why its pictures are not to be decoded


@dataclass(frozen=True, slots=True)
class PictureParameterSet:
    """A picture parameter set, as far as slice headers depend on it."""

    id: int
    sequence: int  # seq_parameter_set_id
    frame_deltas: bool  # bottom_field_pic_order_in_frame_present_flag
    active: tuple[int, int]  # reference pictures in use, of list 0 and 1, unless slices say others
    weighted: tuple[bool, bool]  # P slices and B slices carry weights
    redundant: bool  # slices carry redundant_pic_cnt
    unsupported: str  # '' or why its pictures are not to be decoded


def unescape(data: bytes) -> bytes:
    """Remove the emulation prevention bytes of a NAL unit (7.4.1.1)."""
    return data.replace(b"\x00\x00\x03", b"\x00\x00")


def read_sps(unit: bytes) -> SequenceParameterSet:
    """Read a sequence parameter set (7.3.2.1.1) from the byte after its NAL unit header."""
    bits = BitReader(unescape(unit))
    profile = bits.read(8)
    bits.read(16)  # constraint flags, level
    number = bits.unsigned()
    separate = False
    chroma, unsupported = _YUV420, ""
    if profile in _HIGH_PROFILES:
        chroma = bits.unsigned()
        separate = chroma == _YUV444 and bits.flag()
        if separate:
            unsupported = "expected H.264 planes coded together, got separate_colour_plane_flag 1"
        luma, chrominance = bits.unsigned() + 8, bits.unsigned() + 8
        if luma != chrominance:
            unsupported = (
                f"expected one bit depth, got {luma} for luma and {chrominance} for Cb, Cr"
            )
        bits.flag()  # transform bypass
        if bits.flag():
            for index in range(12 if chroma == _YUV444 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.unsigned() + 4
    order_type = bits.unsigned()
    order_bits, order_deltas = 0, False
    if order_type == 0:
        order_bits = bits.unsigned() + 4
    elif order_type == 1:
        order_deltas = not bits.flag()
        bits.signed(), bits.signed()
        for _ in range(_bounded(bits.unsigned(), _MOST_OFFSETS)):
            bits.signed()
    references = bits.unsigned()
    gaps = bits.flag()
    width, rows = 16 * (bits.unsigned() + 1), 16 * (bits.unsigned() + 1)
    frames_only = bits.flag()
    height = rows if frames_only else 2 * rows
    if width * height > MOST_PIXELS:
        unsupported = f"expected at most {MOST_PIXELS} px (8192x8192), got {width}x{height} px"
    elif references * width * height > _MOST_KEPT_PIXELS:
        unsupported = (
            f"expected at most {_MOST_KEPT_PIXELS // (width * height)} reference frames of "
            f"{width}x{height} px, got {references}"
        )
    adaptive_fields = not frames_only and bits.flag()
    bits.flag()  # direct_8x8_inference_flag
    shifted = False
    if bits.flag():  # cropping
        left, _, top, _ = (bits.unsigned() for _ in range(4))
        shifted = left > 0 or top > 0
    reordered = _read_reordered(bits) if bits.flag() else MOST_REORDERED
    if profile == _BASELINE or order_type == 2:
        reordered = 0
    return SequenceParameterSet(
        number,
        separate,
        chroma != _MONOCHROME,
        frame_num_bits,
        order_type,
        order_bits,
        order_deltas,
        references,
        gaps,
        frames_only,
        adaptive_fields,
        width * height // 256,
        shifted,
        min(reordered, MOST_REORDERED),
        unsupported,
    )


def read_pps(unit: bytes) -> PictureParameterSet:
    """Read a picture parameter set (7.3.2.2) from the byte after its NAL unit header."""
    bits = BitReader(unescape(unit))
    number, sequence = bits.unsigned(), bits.unsigned()
    bits.flag()  # entropy_coding_mode_flag
    frame_deltas = bits.flag()
    groups = bits.unsigned() + 1
    if groups > 1:
        reason = f"expected one slice group, got {groups} (flexible macroblock ordering)"
        return PictureParameterSet(
            number, sequence, frame_deltas, (1, 1), (False, False), False, reason
        )
    active = bits.unsigned() + 1, bits.unsigned() + 1
    weighted_p, weighted_b = bits.flag(), bits.read(2)
    bits.signed(), bits.signed(), bits.signed()  # quantiser
    bits.read(2)  # deblocking control, constrained intra prediction
    redundant = bits.flag()
    weighted = weighted_p, weighted_b == _EXPLICIT_WEIGHTS
    return PictureParameterSet(number, sequence, frame_deltas, active, weighted, redundant, "")


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _read_reordered(bits: BitReader) -> int:
    """Read max_num_reorder_frames out of the VUI (E.1.1); without it, anything goes (E.2.1).

    As for FFmpeg, a VUI that ends too early, as some senders write, says no more than it has.
    """
    try:
        return _read_vui(bits)
    except CodecError:
        return MOST_REORDERED


def _read_vui(bits: BitReader) -> int:
    if bits.flag() and bits.read(8) == _EXTENDED_ASPECT_RATIO:
        bits.read(32)
    if bits.flag():  # overscan
        bits.flag()
    if bits.flag():  # video signal type
        bits.read(4)
        if bits.flag():
            bits.read(24)
    if bits.flag():  # chroma location
        bits.unsigned(), bits.unsigned()
    if bits.flag():  # timing
        bits.read(65)
    nal, vcl = _skip_hrd(bits), _skip_hrd(bits)
    if nal or vcl:
        bits.flag()
    bits.flag()  # pic_struct_present_flag
    if not bits.flag():
        return MOST_REORDERED
    bits.flag()
    for _ in range(4):
        bits.unsigned()
    return bits.unsigned()


def _skip_hrd(bits: BitReader) -> bool:
    """Skip the parameters of a reference decoder (E.1.2); tell whether there were any."""
    if not bits.flag():
        return False
    count = _bounded(bits.unsigned() + 1, _MOST_BUFFERS)
    bits.read(8)
    for _ in range(count):
        bits.unsigned(), bits.unsigned(), bits.flag()
    bits.read(20)
    return True


def _bounded(count: int, most: int) -> int:
    """Return how often a part is there, as long as the standard allows that."""
    if count > most:
        raise CodecError(f"expected at most {most} entries in a parameter set, got {count}")
    return count
