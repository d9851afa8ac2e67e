"""`python -m turnpoint` is `turnpoint`."""

import sys

from turnpoint.cli import main

sys.exit(main())
