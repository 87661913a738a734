"""Builds the ROS-free part of twnet_ros; everything it says stands in setup.cfg."""

from setuptools import setup

setup()
