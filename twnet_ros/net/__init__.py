"""The network: backbones, warping, correction, TWNet and its checkpoints."""

from twnet_ros.net.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from twnet_ros.net.config import Config, wrong_size
from twnet_ros.net.fold import fold
from twnet_ros.net.onednn import use_onednn
from twnet_ros.net.pretrained import load_pretrained, publication
from twnet_ros.net.residual import residual, residual_magnitude
from twnet_ros.net.twnet import FeatureState, TWNet
from twnet_ros.net.warp import to_grid, warp, warp_cubic

__all__ = [
    "CheckpointError",
    "Config",
    "FeatureState",
    "TWNet",
    "fold",
    "load_checkpoint",
    "load_pretrained",
    "publication",
    "residual",
    "residual_magnitude",
    "save_checkpoint",
    "to_grid",
    "use_onednn",
    "warp",
    "warp_cubic",
    "wrong_size",
]
