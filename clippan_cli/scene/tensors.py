"""From numpy tiles to tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clippan_cli.rasters.tiles import TileArrays
from clippan_models.contracts import Tile


def to_tile(arrays: TileArrays, device: torch.device) -> Tile:
    """A tile as tensors on a device."""

    def move(array: np.ndarray) -> Tensor:
        if array.strides[0] == 0:  # one mask that all bands share
            return move(array[:1].copy()).expand(array.shape)
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

    return Tile(
        ms=move(arrays.ms),
        ms_valid=move(arrays.ms_valid),
        pan=move(arrays.pan),
        pan_valid=move(arrays.pan_valid),
        valid=move(arrays.valid),
        ms_window=arrays.ms_window,
        pan_window=arrays.pan_window,
        core=arrays.core,
    )
