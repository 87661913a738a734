"""``python -m twnet_ros.cli``, for ``torchrun``."""

import sys

from twnet_ros.cli import main

sys.exit(main())
