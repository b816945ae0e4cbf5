"""Objects in a directory of a local disk."""

from typing import Final

#: Where objects are unless the options say otherwise, below the working directory.
DEFAULT_PATH: Final = "giftless-data"
