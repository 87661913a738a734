"""Message classes of packages that need not be installed."""

import os
from importlib import import_module


def load_message(package: str, message: str) -> type:
    """Return a message class; ImportError says which package to install."""
    try:
        loaded: type = getattr(import_module(f"{package}.msg"), message)
    except (ModuleNotFoundError, AttributeError) as error:
        distribution = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        raise ImportError(
            f"expected {package}/msg/{message}, got no such message: "
            f"apt-get install ros-{distribution}-{package.replace('_', '-')}"
        ) from error
    return loaded
