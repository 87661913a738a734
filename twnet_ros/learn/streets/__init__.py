"""Procedural street drives with exact Cityscapes train-id labels."""

from twnet_ros.learn.streets.drive import Street
from twnet_ros.learn.streets.writer import write_street

__all__ = ["Street", "write_street"]
