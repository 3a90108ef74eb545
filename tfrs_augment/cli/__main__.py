"""`python -m tfrs_augment.cli`: the command line without the installed script."""

import sys

from tfrs_augment.cli import main

sys.exit(main())
