"""What H.264 headers say about the order of pictures (ITU-T H.264 clause 7.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from twnet_ros.codec.bit import BitReader

SLICES = frozenset({1, 2, 5})  # nal_unit_type: non-IDR, data partition A, IDR
IDR = 5
SPS = 7
PPS = 8
# What is read of a slice header takes at most 26 bytes; parameter sets are a few dozen bytes long.
SLICE_HEADER_BYTES = 48
PARAMETER_SET_BYTES = 1024
MOST_REORDERED = 16  # the largest decoded picture buffer (A.3.1)
_INTRA = (2, 4)  # slice_type modulo 5: I, SI

# Profiles whose SPS has the chroma format and scaling lists (7.3.2.1.1).
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_BASELINE = 66
_YUV444 = 3
_EXTENDED_ASPECT_RATIO = 255


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence parameter set: how its pictures are numbered."""

    id: int
    separate_planes: bool
    frame_num_bits: int
    order_type: int  # pic_order_cnt_type
    order_bits: int  # of pic_order_cnt_lsb, 0 unless the type is 0
    gaps_allowed: bool  # gaps_in_frame_num_value_allowed_flag
    frames_only: bool  # frame_mbs_only_flag
    reordered: int  # most pictures decoded before and shown after another


@dataclass(frozen=True, slots=True)
class Picture:
    """What the slice headers of one picture have in common and tell it from others (7.4.1.2.4)."""

    reference: bool  # nal_ref_idc is not 0: other pictures may be predicted from it
    idr: bool
    parameters: int  # pic_parameter_set_id
    frame_num: int
    is_field: bool
    bottom: bool
    idr_id: int  # idr_pic_id, 0 unless IDR
    order: int  # pic_order_cnt_lsb, 0 unless the order's type is 0
    intra: bool = field(compare=False)  # this slice is I or SI


def unescape(data: bytes) -> bytes:
    """Remove the emulation prevention bytes of a NAL unit (7.4.1.1)."""
    return data.replace(b"\x00\x00\x03", b"\x00\x00")


def read_sps(unit: bytes) -> Sequence:
    """Read a sequence parameter set (7.3.2.1.1) from the byte after its NAL unit header."""
    bits = BitReader(unescape(unit))
    profile = bits.read(8)
    bits.read(16)  # constraint flags, level
    number = bits.unsigned()
    separate = False
    if profile in _HIGH_PROFILES:
        chroma = bits.unsigned()
        separate = chroma == _YUV444 and bits.flag()
        bits.unsigned(), bits.unsigned(), bits.flag()  # bit depths, transform bypass
        if bits.flag():
            for index in range(12 if chroma == _YUV444 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.unsigned() + 4
    order_type = bits.unsigned()
    order_bits = 0
    if order_type == 0:
        order_bits = bits.unsigned() + 4
    elif order_type == 1:
        bits.flag(), bits.signed(), bits.signed()
        for _ in range(bits.unsigned()):
            bits.signed()
    bits.unsigned()  # max_num_ref_frames
    gaps = bits.flag()
    bits.unsigned(), bits.unsigned()  # width and height
    frames_only = bits.flag()
    if not frames_only:
        bits.flag()
    bits.flag()  # direct_8x8_inference_flag
    if bits.flag():  # cropping
        for _ in range(4):
            bits.unsigned()
    reordered = _read_reordered(bits) if bits.flag() else MOST_REORDERED
    if profile == _BASELINE or order_type == 2:
        reordered = 0
    return Sequence(
        number,
        separate,
        frame_num_bits,
        order_type,
        order_bits,
        gaps,
        frames_only,
        min(reordered, MOST_REORDERED),
    )


def read_pps(unit: bytes) -> tuple[int, int]:
    """Read the ids of a picture parameter set and of its sequence's (7.3.2.2)."""
    bits = BitReader(unescape(unit))
    return bits.unsigned(), bits.unsigned()


def read_parameters_id(unit: bytes) -> int:
    """Read which picture parameter set a slice refers to; `unit` as for `read_slice`."""
    bits = BitReader(unescape(unit[1:]))
    bits.unsigned(), bits.unsigned()  # first_mb_in_slice, slice_type
    return bits.unsigned()


def read_slice(unit: bytes, sequence: Sequence) -> Picture:
    """Read a slice header (7.3.3) as far as the order count; `unit` is the whole NAL unit."""
    bits = BitReader(unescape(unit[1:]))
    bits.unsigned()  # first_mb_in_slice
    intra = bits.unsigned() % 5 in _INTRA
    parameters = bits.unsigned()
    if sequence.separate_planes:
        bits.read(2)
    frame_num = bits.read(sequence.frame_num_bits)
    is_field = bottom = False
    if not sequence.frames_only:
        is_field = bits.flag()
        bottom = is_field and bits.flag()
    idr = unit[0] & 0x1F == IDR
    return Picture(
        reference=bool(unit[0] & 0x60),
        idr=idr,
        parameters=parameters,
        frame_num=frame_num,
        is_field=is_field,
        bottom=bottom,
        idr_id=bits.unsigned() if idr else 0,
        order=bits.read(sequence.order_bits),
        intra=intra,
    )


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _read_reordered(bits: BitReader) -> int:
    """Read max_num_reorder_frames out of the VUI (E.1.1); without it, anything goes (E.2.1)."""
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
    count = bits.unsigned() + 1
    bits.read(8)
    for _ in range(count):
        bits.unsigned(), bits.unsigned(), bits.flag()
    bits.read(20)
    return True
