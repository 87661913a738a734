"""Headers of both codecs as lists of fields, which can be changed and written back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

START_CODE = b"\x00\x00\x01"
TOO_LONG = -(1 << 62)  # as a ue(v): more zeros than any code has

_HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}


class EndOfBits(Exception):  # noqa: N818
    """A header ended before its last field."""


@dataclass(slots=True)
class Field:
    """One syntax element: u(n), ue(v) or se(v)."""

    name: str
    kind: str
    size: int  # bits of u(n)
    value: int

    def bits(self) -> str:
        """Write the field."""
        if self.kind == "u":
            return format(self.value & (1 << self.size) - 1, f"0{self.size}b") if self.size else ""
        if self.value == TOO_LONG:
            return "0" * 40 + "1"
        code = self.value
        if self.kind == "se":
            code = 2 * code - 1 if code > 0 else -2 * code
        text = format(abs(code) + 1, "b")
        return "0" * (len(text) - 1) + text


@dataclass(slots=True)
class Tape:
    """Reads fields off the bits of a header and remembers them, in order."""

    bits: str
    fields: list[Field] = field(default_factory=list)
    at: int = 0
    aligned: bool = False  # what follows the header begins at a whole byte, after bits of 1

    def u(self, name: str, size: int) -> int:
        """Read u(n)."""
        text = self._take(size)
        return self._keep(Field(name, "u", size, int(text, 2) if text else 0))

    def ue(self, name: str) -> int:
        """Read ue(v)."""
        return self._keep(Field(name, "ue", 0, self._code()))

    def se(self, name: str) -> int:
        """Read se(v)."""
        code = self._code()
        return self._keep(Field(name, "se", 0, (code + 1) // 2 if code % 2 else -(code // 2)))

    def _keep(self, one: Field) -> int:
        self.fields.append(one)
        return one.value

    def _take(self, size: int) -> str:
        if self.at + size > len(self.bits):
            raise EndOfBits
        self.at += size
        return self.bits[self.at - size : self.at]

    def _code(self) -> int:
        end = self.bits.find("1", self.at)
        if end < 0 or end - self.at > 32:
            raise EndOfBits
        zeros = end - self.at
        self.at = end
        return int(self._take(zeros + 1), 2) - 1

    def written(self) -> bytes:
        """Write the fields, then whatever followed them."""
        head, rest = "".join(one.bits() for one in self.fields), self.bits[self.at :]
        if self.aligned:
            rest = self.bits[-(-self.at // 8) * 8 :]
            head += "1" * (-len(head) % 8)
        text = head + rest
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


def tape_of(data: bytes, read: Callable[..., Any], *known: Any) -> tuple[Tape, Any]:
    """Read a header; return its fields as far as they go, and what ``read`` made of it."""
    tape = Tape(format(int.from_bytes(data, "big"), f"0{8 * len(data)}b") if data else "")
    try:
        return tape, read(tape, *known)
    except EndOfBits:
        return tape, None


def split(data: bytes) -> list[bytes]:
    """Return the units of a packet without their start codes; b'' is never among them."""
    return [
        unit for unit in data.replace(b"\x00" + START_CODE, START_CODE).split(START_CODE) if unit
    ]


def unescape(unit: bytes) -> bytes:
    """Remove emulation prevention bytes (H.264 7.4.1.1)."""
    return unit.replace(b"\x00\x00\x03", b"\x00\x00")


def escape(unit: bytes) -> bytes:
    """Put emulation prevention bytes in."""
    out = bytearray()
    zeros = 0
    for byte in unit:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = 0 if byte else zeros + 1
    return bytes(out)


# H.264 clause 7.3


def read_sps(t: Tape) -> dict[str, int]:
    """7.3.2.1.1, from the byte after the NAL unit header."""
    s: dict[str, int] = {}
    profile = t.u("profile_idc", 8)
    t.u("constraints", 8)
    t.u("level_idc", 8)
    s["id"] = t.ue("sps_id")
    s["separate"] = 0
    if profile in _HIGH_PROFILES:
        chroma = t.ue("chroma_format_idc")
        if chroma == 3:
            s["separate"] = t.u("separate_colour_plane", 1)
        t.ue("bit_depth_luma"), t.ue("bit_depth_chroma"), t.u("bypass", 1)
        if t.u("scaling_matrix", 1):
            _scaling_lists(t, 12 if chroma == 3 else 8)
    s["frame_num_bits"] = t.ue("log2_max_frame_num") + 4
    s["order_type"] = t.ue("pic_order_cnt_type")
    s["order_bits"] = s["order_zero"] = 0
    if s["order_type"] == 0:
        s["order_bits"] = t.ue("log2_max_poc_lsb") + 4
    elif s["order_type"] == 1:
        s["order_zero"] = t.u("delta_pic_order_always_zero", 1)
        t.se("offset_non_ref"), t.se("offset_top_to_bottom")
        for _ in range(min(t.ue("num_ref_frames_in_cycle"), 300)):
            t.se("offset_ref")
    t.ue("max_num_ref_frames")
    t.u("gaps_in_frame_num", 1)
    t.ue("width_mbs"), t.ue("height_map_units")
    s["frames_only"] = t.u("frame_mbs_only", 1)
    if not s["frames_only"]:
        t.u("mbaff", 1)
    t.u("direct_8x8_inference", 1)
    if t.u("cropping", 1):
        for side in ("left", "right", "top", "bottom"):
            t.ue(f"crop_{side}")
    if t.u("vui", 1):
        _read_vui(t)
    return s


def _scaling_lists(t: Tape, lists: int) -> None:
    for index in range(lists):
        if t.u("list_present", 1):
            last = following = 8
            for _ in range(16 if index < 6 else 64):
                if following:
                    following = (last + t.se("delta_scale")) % 256
                last = following or last


def _read_vui(t: Tape) -> None:
    if t.u("aspect_ratio", 1) and t.u("aspect_ratio_idc", 8) == 255:
        t.u("sar_width", 16), t.u("sar_height", 16)
    if t.u("overscan", 1):
        t.u("overscan_appropriate", 1)
    if t.u("video_signal_type", 1):
        t.u("video_format", 3), t.u("full_range", 1)
        if t.u("colour_description", 1):
            t.u("primaries", 8), t.u("transfer", 8), t.u("matrix", 8)
    if t.u("chroma_loc", 1):
        t.ue("chroma_loc_top"), t.ue("chroma_loc_bottom")
    if t.u("timing", 1):
        t.u("num_units_in_tick", 32), t.u("time_scale", 32), t.u("fixed_frame_rate", 1)
    hrd = [_read_hrd(t), _read_hrd(t)]
    if any(hrd):
        t.u("low_delay_hrd", 1)
    t.u("pic_struct_present", 1)
    if t.u("bitstream_restriction", 1):
        t.u("mv_over_boundaries", 1)
        for name in ("max_bytes", "max_bits", "log2_mv_x", "log2_mv_y", "num_reorder", "max_dec"):
            t.ue(name)


def _read_hrd(t: Tape) -> bool:
    if not t.u("hrd", 1):
        return False
    count = t.ue("cpb_cnt")
    t.u("bit_rate_scale", 4), t.u("cpb_size_scale", 4)
    for _ in range(min(count, 40) + 1):
        t.ue("bit_rate_value"), t.ue("cpb_size_value"), t.u("cbr", 1)
    t.u("hrd_lengths", 20)
    return True


def read_pps(t: Tape) -> dict[str, int]:
    """7.3.2.2, from the byte after the NAL unit header."""
    p: dict[str, int] = {}
    p["id"] = t.ue("pps_id")
    p["sps"] = t.ue("pps_sps_id")
    p["cabac"] = t.u("entropy_coding_mode", 1)
    p["order"] = t.u("bottom_field_pic_order", 1)
    if t.ue("num_slice_groups"):
        t.ue("slice_group_map_type")
        raise EndOfBits
    p["refs0"], p["refs1"] = t.ue("num_ref_idx_l0") + 1, t.ue("num_ref_idx_l1") + 1
    p["weighted"] = t.u("weighted_pred", 1)
    p["bipred"] = t.u("weighted_bipred_idc", 2)
    t.se("pic_init_qp"), t.se("pic_init_qs"), t.se("chroma_qp_index_offset")
    p["deblocking"] = t.u("deblocking_control", 1)
    t.u("constrained_intra_pred", 1)
    p["redundant"] = t.u("redundant_pic_cnt_present", 1)
    if "1" in t.bits[t.at + 1 :]:
        t.u("transform_8x8", 1), t.u("pic_scaling_matrix", 1)
    return p


def read_slice(t: Tape, header: int, s: dict[str, int], p: dict[str, int]) -> None:
    """7.3.3, from the byte after the NAL unit header, which is ``header``."""
    t.ue("first_mb_in_slice")
    kind = t.ue("slice_type") % 5
    t.ue("slice_pps_id")
    if s["separate"]:
        t.u("colour_plane_id", 2)
    t.u("frame_num", min(s["frame_num_bits"], 32))
    is_field = 0
    if not s["frames_only"]:
        is_field = t.u("field_pic", 1)
        if is_field:
            t.u("bottom_field", 1)
    idr = header & 0x1F == 5
    if idr:
        t.ue("idr_pic_id")
    if s["order_type"] == 0:
        t.u("pic_order_cnt_lsb", min(s["order_bits"], 32))
        if p["order"] and not is_field:
            t.se("delta_poc_bottom")
    if s["order_type"] == 1 and not s["order_zero"]:
        t.se("delta_poc_0")
        if p["order"] and not is_field:
            t.se("delta_poc_1")
    if p["redundant"]:
        t.ue("redundant_pic_cnt")
    refs = [p["refs0"], p["refs1"]]
    if kind == 1:
        t.u("direct_spatial_mv_pred", 1)
    if kind in (0, 1, 3) and t.u("num_ref_idx_override", 1):
        refs[0] = t.ue("num_ref_idx_l0") + 1
        if kind == 1:
            refs[1] = t.ue("num_ref_idx_l1") + 1
    for _ in range({0: 1, 3: 1, 1: 2}.get(kind, 0)):
        if t.u("ref_list_modification", 1):
            while t.ue("modification_of_pic_nums_idc") != 3:
                t.ue("abs_diff_pic_num")
    if (p["weighted"] and kind in (0, 3)) or (p["bipred"] == 1 and kind == 1):
        _read_weights(t, refs if kind == 1 else refs[:1])
    if header & 0x60:
        _read_marking(t, idr)
    if p["cabac"] and kind not in (2, 4):
        t.ue("cabac_init_idc")
    t.se("slice_qp_delta")
    if kind in (3, 4):
        if kind == 3:
            t.u("sp_for_switch", 1)
        t.se("slice_qs_delta")
    if p["deblocking"] and t.ue("disable_deblocking") != 1:
        t.se("alpha_c0"), t.se("beta")
    t.aligned = bool(p["cabac"])


def _read_weights(t: Tape, refs: list[int]) -> None:
    t.ue("luma_log2_weight_denom"), t.ue("chroma_log2_weight_denom")
    for count in refs:
        for _ in range(min(count, 33)):
            if t.u("luma_weight_flag", 1):
                t.se("luma_weight"), t.se("luma_offset")
            if t.u("chroma_weight_flag", 1):
                for _ in range(2):
                    t.se("chroma_weight"), t.se("chroma_offset")


def _read_marking(t: Tape, idr: bool) -> None:
    if idr:
        t.u("no_output_of_prior_pics", 1), t.u("long_term_reference", 1)
    elif t.u("adaptive_ref_pic_marking", 1):
        while operation := t.ue("memory_management_control_operation"):
            if operation in (1, 3):
                t.ue("difference_of_pic_nums")
            if operation == 2:
                t.ue("long_term_pic_num")
            if operation in (3, 6):
                t.ue("long_term_frame_idx")
            if operation == 4:
                t.ue("max_long_term_frame_idx")


# ISO/IEC 14496-2 clause 6.2


def read_layer(t: Tape) -> dict[str, int]:
    """6.2.3, from the byte after the start code."""
    v: dict[str, int] = {}
    t.u("random_accessible", 1), t.u("object_type", 8)
    version = 1
    if t.u("is_object_layer_identifier", 1):
        version = t.u("verid", 4)
        t.u("priority", 3)
    if t.u("aspect_ratio", 4) == 15:
        t.u("par_width", 8), t.u("par_height", 8)
    if t.u("vol_control", 1):
        t.u("chroma_format", 2), t.u("low_delay", 1)
        if t.u("vbv", 1):
            t.u("vbv_first", 47), t.u("vbv_second", 32)
    shape = t.u("shape", 2)
    if shape == 3 and version != 1:
        t.u("shape_extension", 4)
    t.u("marker", 1)
    resolution = t.u("vop_time_increment_resolution", 16)
    v["time_bits"] = max(1, (resolution - 1).bit_length()) if resolution else 1
    t.u("marker", 1)
    if t.u("fixed_vop_rate", 1):
        t.u("fixed_vop_time_increment", v["time_bits"])
    if shape == 0:
        t.u("marker", 1), t.u("width", 13), t.u("marker", 1), t.u("height", 13), t.u("marker", 1)
    v["interlaced"] = t.u("interlaced", 1)
    t.u("obmc_disable", 1)
    v["sprite"] = t.u("sprite_enable", 1 if version == 1 else 2)
    if v["sprite"] == 1:
        for name in ("width", "height", "left", "top"):
            t.u(f"sprite_{name}", 13), t.u("marker", 1)
    if v["sprite"]:
        t.u("sprite_points", 6), t.u("sprite_accuracy", 2), t.u("sprite_brightness", 1)
        if v["sprite"] == 1:
            t.u("low_latency_sprite", 1)
    if t.u("not_8_bit", 1):
        t.u("quant_precision", 4), t.u("bits_per_pixel", 4)
    if t.u("quant_type", 1):
        for name in ("intra", "inter"):
            if t.u(f"load_{name}_matrix", 1):
                for _ in range(64):
                    if not t.u("matrix_value", 8):
                        break
    if version != 1:
        t.u("quarter_sample", 1)
    if not t.u("complexity_estimation_disable", 1):
        t.u("estimation_method", 2)
    t.u("resync_marker_disable", 1)
    if t.u("data_partitioned", 1):
        t.u("reversible_vlc", 1)
    if version != 1:
        if t.u("newpred", 1):
            t.u("newpred_type", 3)
        t.u("reduced_resolution", 1)
    t.u("scalability", 1)
    return v


def read_group(t: Tape) -> None:
    """6.2.4, from the byte after the start code."""
    t.u("hours", 5), t.u("minutes", 6), t.u("marker", 1), t.u("seconds", 6)
    t.u("closed_gov", 1), t.u("broken_link", 1)


def read_vop(t: Tape, v: dict[str, int]) -> None:
    """6.2.5 as far as the f codes, from the byte after the start code."""
    kind = t.u("vop_coding_type", 2)
    while t.u("modulo_time_base", 1):
        pass
    t.u("marker", 1), t.u("vop_time_increment", v["time_bits"]), t.u("marker", 1)
    if not t.u("vop_coded", 1):
        return
    if kind in (1, 3):
        t.u("rounding_type", 1)
    t.u("intra_dc_vlc_thr", 3)
    if v["interlaced"]:
        t.u("top_field_first", 1), t.u("alternate_vertical_scan", 1)
    t.u("vop_quant", 5)
    if kind:
        t.u("vop_fcode_forward", 3)
    if kind == 2:
        t.u("vop_fcode_backward", 3)


def read_bytes(t: Tape) -> None:
    """Take any header of the rest as bytes."""
    while t.at < min(len(t.bits), 128):
        t.u("byte", 8)
