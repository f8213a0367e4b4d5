"""Windows of any shape, gathered to the blocks of the file, so that GDAL is given each block whole and once.

GDAL keeps a block that was written in part in a cache, which is one for all threads. While one thread adds pixels to
the block, another that reads another file may evict it; the first then loads an older state of the block from the
file, and pixels are lost, rarely and without an error (https://github.com/OSGeo/gdal/pull/2015). A whole block is not
cached where its samples are whole bytes, and is not loaded again where they are not. It is compressed once, and leaves
no hole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clippan_models.contracts import Window


@dataclass
class Blocks:
    """The blocks of an image that wait for pixels: about one row of blocks, where windows come row by row.

    Attributes:
        image: the window of all pixels.
        height: rows of a block; fewer at the lower edge.
        width: columns of a block; fewer at the right edge.
    """

    image: Window
    height: int
    width: int
    _begun: dict[Window, NDArray[Any]] = field(default_factory=dict)
    _missing: dict[Window, int] = field(default_factory=dict)

    def add(self, window: Window, pixels: NDArray[Any]) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Take the pixels `[C, h, w]` of a window, and give the blocks that it completes."""
        for place in self._under(window):
            shared = place.intersection(window)
            part = pixels[:, *shared.inside(window)]
            if shared == place:
                yield place, part
                continue
            if place not in self._begun:
                self._begun[place] = np.empty((len(pixels), place.height, place.width), pixels.dtype)
                self._missing[place] = place.pixels
            self._begun[place][:, *shared.inside(place)] = part
            self._missing[place] -= shared.pixels
            if self._missing[place] == 0:
                del self._missing[place]
                yield place, self._begun.pop(place)

    def _under(self, window: Window) -> Iterator[Window]:
        """The blocks that a window touches."""
        for row in range(window.row // self.height * self.height, window.row_stop, self.height):
            for col in range(window.col // self.width * self.width, window.col_stop, self.width):
                yield Window(row, col, self.height, self.width).intersection(self.image)
