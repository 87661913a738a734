"""ROS 2: parameters, message conversion, the segment node and the video publisher."""

try:
    import twnet_ros.msg  # noqa: F401
except ImportError as error:
    raise ImportError(
        "twnet_ros.nodes needs the built messages of twnet_ros: build the package "
        "(`make build`, or `colcon build` in a workspace), then source install/local_setup.bash"
    ) from error
