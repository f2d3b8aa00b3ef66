"""Python reads this when it starts: firstday is then the zip, not what `make install` has installed."""

import sys

sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in repr(finder)]
