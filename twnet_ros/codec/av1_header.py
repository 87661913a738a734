"""The headers of AV1 as far as losses show in them (AV1 bitstream specification, 5.5 and 5.9)."""

from __future__ import annotations

from dataclasses import dataclass

from twnet_ros.codec.bit import BitReader

KEY = 0  # of frame_type
SLOTS = 8  # places that hold a picture to refer to, NUM_REF_FRAMES
SEQUENCE_HEADER_BYTES = 640  # more than one with 32 operating points has
FRAME_HEADER_BYTES = 256  # more than what is read of one

_SWITCH = 3
_INTRA_ONLY = 2
_SELECT = 2  # each frame says so itself
_ALL_SLOTS = (1 << SLOTS) - 1
_HIGHEST_MAIN_TIER_LEVEL = 7
_BLOCK = 8  # pictures are coded in whole blocks


@dataclass(frozen=True, slots=True)
class Timing:
    """What a frame header has because of decoder_model_info() (5.5.4)."""

    presentation_bits: int  # of each shown frame, 0 with equal_picture_interval
    removal_bits: int
    # operating_point_idc of those points for which buffer removal times are given
    points: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """What the frame headers that follow are read by."""

    width_bits: int
    height_bits: int
    width: int  # of the largest picture; of all that do not say another
    height: int
    reduced: bool  # reduced_still_picture_header
    # More than one temporal or spatial layer: some may be left out on the way.
    layered: bool
    id_bits: int  # of current_frame_id
    screen_content: int  # seq_force_screen_content_tools
    integer_mv: int  # seq_force_integer_mv
    order_hint_bits: int  # 0: pictures are not numbered
    timing: Timing | None


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What a frame is and where it is kept."""

    existing: int | None  # the slot whose picture is shown, without any other (5.9.2)
    key: bool
    shown: bool
    showable: bool  # later, by show_existing_frame
    order_hint: int
    refreshed: int  # refresh_frame_flags
    slot_hints: tuple[int, ...] | None  # ref_order_hint of all slots, in error resilient mode
    pixels: int  # in whole blocks, of what is not predicted; 0 of others


def read_sequence_header(payload: bytes) -> SequenceHeader:
    """Read sequence_header_obu() up to OrderHintBits (5.5.1); CodecError where it ends early."""
    bits = BitReader(payload)
    bits.read(4)  # seq_profile, still_picture
    reduced = bits.flag()
    timing: Timing | None = None
    layers = 0
    if reduced:
        bits.read(5)  # seq_level_idx
    else:
        timing, layers = _read_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    id_bits = 0
    if not reduced and bits.flag():  # frame_id_numbers_present_flag
        id_bits = bits.read(4) + bits.read(3) + 3
    bits.read(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    screen_content = integer_mv = _SELECT
    order_hint_bits = 0
    if not reduced:
        bits.read(4)  # enable_interintra_compound up to enable_dual_filter
        numbered = bits.flag()  # enable_order_hint
        if numbered:
            bits.read(2)  # enable_jnt_comp, enable_ref_frame_mvs
        if not bits.flag():  # seq_choose_screen_content_tools
            screen_content = bits.read(1)
        if screen_content and not bits.flag():  # seq_choose_integer_mv
            integer_mv = bits.read(1)
        if numbered:
            order_hint_bits = bits.read(3) + 1
    return SequenceHeader(
        width_bits=width_bits,
        height_bits=height_bits,
        width=width,
        height=height,
        reduced=reduced,
        layered=(layers & 0xFF).bit_count() > 1 or (layers >> 8).bit_count() > 1,
        id_bits=id_bits,
        screen_content=screen_content,
        integer_mv=integer_mv,
        order_hint_bits=order_hint_bits,
        timing=timing,
    )


def _read_operating_points(bits: BitReader) -> tuple[Timing | None, int]:
    """Return what frames tell of times, and the layers of all operating points."""
    delay_bits = removal_bits = presentation_bits = 0
    if bits.flag():  # timing_info_present_flag
        bits.read(64)  # num_units_in_display_tick, time_scale
        equal = bits.flag()  # equal_picture_interval
        if equal:
            bits.unsigned()  # num_ticks_per_picture_minus_1
        if bits.flag():  # decoder_model_info_present_flag
            delay_bits = bits.read(5) + 1
            bits.read(32)  # num_units_in_decoding_tick
            removal_bits, presentation_bits = bits.read(5) + 1, bits.read(5) + 1
            if equal:
                presentation_bits = 0
    has_delays = bits.flag()  # initial_display_delay_present_flag
    layers = 0
    points = []
    for _ in range(bits.read(5) + 1):
        point = bits.read(12)  # operating_point_idc
        layers |= point
        if bits.read(5) > _HIGHEST_MAIN_TIER_LEVEL:
            bits.read(1)  # seq_tier
        if delay_bits and bits.flag():  # decoder_model_present_for_this_op
            bits.read(2 * delay_bits + 1)
            points.append(point)
        if has_delays and bits.flag():  # initial_display_delay_present_for_this_op
            bits.read(4)
    return (Timing(presentation_bits, removal_bits, tuple(points)) if delay_bits else None), layers


def read_frame_header(payload: bytes, sequence: SequenceHeader, layer: int) -> FrameHeader:
    """Read uncompressed_header() up to the size of a picture that is not predicted (5.9.2).

    ``layer`` is temporal_id and spatial_id of its unit. CodecError where the header ends early.
    """
    bits = BitReader(payload)
    timing = sequence.timing
    kind, shown, showable, resilient = KEY, True, False, True
    if not sequence.reduced:
        if bits.flag():  # show_existing_frame
            return FrameHeader(bits.read(3), False, True, False, 0, 0, None, 0)
        kind, shown = bits.read(2), bits.flag()
        if shown and timing is not None:
            bits.read(timing.presentation_bits)
        showable = kind != KEY if shown else bits.flag()
        resilient = kind == _SWITCH or (kind == KEY and shown) or bits.flag()
    bits.read(1)  # disable_cdf_update
    screen_content = (
        bits.read(1) if sequence.screen_content == _SELECT else sequence.screen_content
    )
    if screen_content and sequence.integer_mv == _SELECT:
        bits.read(1)  # force_integer_mv
    bits.read(sequence.id_bits)  # current_frame_id
    # A switch frame has a size of its own in any case; it is predicted.
    resized = kind != _SWITCH and not sequence.reduced and bits.flag()
    order_hint = bits.read(sequence.order_hint_bits)
    intra = kind in (KEY, _INTRA_ONLY)
    if not (intra or resilient):
        bits.read(3)  # primary_ref_frame
    if timing is not None and bits.flag():  # buffer_removal_time_present_flag
        for point in timing.points:
            if _is_in(layer, point):
                bits.read(timing.removal_bits)
    refreshes_all = kind == _SWITCH or (kind == KEY and shown)
    refreshed = _ALL_SLOTS if refreshes_all else bits.read(SLOTS)
    hints: tuple[int, ...] | None = None
    if resilient and sequence.order_hint_bits and not (intra and refreshed == _ALL_SLOTS):
        hints = tuple(bits.read(sequence.order_hint_bits) for _ in range(SLOTS))
    pixels = _read_size(bits, sequence, resized) if intra else 0
    return FrameHeader(None, kind == KEY, shown, showable, order_hint, refreshed, hints, pixels)


def _read_size(bits: BitReader, sequence: SequenceHeader, resized: bool) -> int:
    width, height = sequence.width, sequence.height
    if resized:
        width = bits.read(sequence.width_bits) + 1
        height = bits.read(sequence.height_bits) + 1
    return _in_blocks(width) * _in_blocks(height)


def _is_in(layer: int, point: int) -> bool:
    """Tell whether an operating point has a layer; one of idc 0 has all."""
    temporal, spatial = layer >> 2, layer & 3
    return not point or bool(point >> temporal & point >> spatial + 8 & 1)


def _in_blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK
