"""Write a raster such that its path holds the old file or the whole new one, never anything between.

Pixels go to a temporary file beside the target. Committing closes it, translates it (COG), reads every block of the
result back, compares it with checksums noted while writing, and only then renames it onto the target. GDAL alone does
not give this: with several threads it hides a full disk, and an interrupted write leaves a valid file of zeros.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from clippan_cli.rasters.gdal_errors import (
    GDAL_ERRORS,
    UNTOUCHED,
    reason_of,
    write_failure,
    writing,
)
from clippan_cli.rasters.metadata import DEFAULT_DOMAIN, PROVENANCE_DOMAIN, RasterMetadata
from clippan_cli.writing.blocks import Blocks
from clippan_cli.writing.creation import cog_options, create_geotiff, temporary_options
from clippan_cli.writing.grid import OutputGrid
from clippan_cli.writing.options import OutputOptions
from clippan_cli.writing.path import (
    check_free_space,
    check_output_path,
    real_path,
    sidecars,
    temporary_path,
    working_folders,
)
from clippan_cli.writing.rehearsal import check_encoding
from clippan_cli.writing.translation import copy_in_child, hide_band_tags, reveal_band_tags
from clippan_cli.writing.verification import Checksum, Mismatch, raster_window, verify_blocks, verify_facts
from clippan_models.contracts import Window
from clippan_models.errors import OutputError, shown
from clippan_models.store.temporary import new_token

OnCommit = Callable[[Literal["translate", "verify"], float], None]
"""Called several times a second while committing with the stage and the share done; may raise to abort."""


class SafeWriter:
    """Writes one raster window by window; nothing appears at the target before `commit` has verified it.

    Leaving the context without a commit, for whatever reason, removes everything temporary. Calls may come from any
    thread, but from one at a time.

        with SafeWriter(path, grid, options, metadata) as writer:
            for window in windows:
                writer.write(window, data, valid)
            writer.commit()
    """

    def __init__(
        self, path: Path, grid: OutputGrid, options: OutputOptions, metadata: RasterMetadata | None = None
    ) -> None:
        self._path = path
        self._grid = grid
        self._options = options
        self._metadata = metadata
        self._token = new_token()
        self._checksums: dict[Window, Checksum] = {}
        self._dataset: Any = None

    def __enter__(self) -> Self:
        """Check path, options and space, and open the temporary file.

        Raises:
            OutputError: the target cannot be written or the disk is too full.
            UsageError: GDAL does not accept the options.
        """
        check_output_path(self._path, (), self._options.overwrite)
        # The file behind a symbolic link is replaced, not the link; temporary files must be on its file system.
        self._target = real_path(self._path)
        self._temporary = temporary_path(self._target, self._token)
        check_free_space(self._path, self._grid, self._options)
        self._rehearsal = check_encoding(self._grid, self._options, self._metadata)
        try:
            self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove what is temporary, unless it has become the target."""
        self._discard()

    def write(self, window: Window, data: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> None:
        """Write the pixels of a window.

        Windows may come in any order, but must not overlap. GDAL gets the blocks that are complete; the others wait in
        memory.

        Args:
            window: where in the output.
            data: `[C, h, w]` in the data type of the grid.
            valid: `[h, w]`; None means all. Invalid pixels get the nodata value, if there is one.

        Raises:
            OutputError: the pixels do not reach the disk.
        """
        self._refuse_misfit(window, data, valid)
        pixels = self._filled(data, valid)
        mask = self._mask(data, valid) if self._grid.mask else None
        with writing(self._path):
            for place, block in self._blocks.add(window, pixels):
                self._dataset.write(block, window=raster_window(place))
            if mask is not None:
                for place, block in self._mask_blocks.add(window, mask[np.newaxis]):
                    self._dataset.write_mask(block[0], window=raster_window(place))
        self._checksums[window] = Checksum.of(pixels, mask)

    def write_provenance(self, tags: Mapping[str, str]) -> None:
        """Write how the output was made into a metadata domain of its own, any time before the commit."""
        with writing(self._path):
            self._dataset.update_tags(ns=PROVENANCE_DOMAIN, **tags)

    def commit(self, on_progress: OnCommit | None = None) -> int:
        """Finish the file, verify it, and move it to the target.

        Returns:
            Bytes of the file.

        Raises:
            OutputError: pixels are missing, the disk is full, or what is read back is not what was written.
        """
        self._refuse_gaps()
        progress = on_progress or (lambda stage, share: None)
        self._close()
        final = self._translate(progress) if self._options.driver == "cog" else self._temporary
        with writing(self._path):
            _sync(final)
        # A side file of a temporary name would be read while verifying, yet lost by the rename.
        self._sweep(keep=final)
        self._verify(final, progress)
        size = final.stat().st_size
        self._publish(final)
        return size

    def _open(self) -> None:
        profile = temporary_options(self._grid, self._options)
        with writing(self._path):
            # Creating it exclusively reserves the name and leaves it to nobody else to have put a link there.
            os.close(os.open(self._temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            self._dataset = create_geotiff(self._temporary, self._grid, profile, self._metadata_to_write())
        block = self._dataset.block_shapes[0]
        self._blocks, self._mask_blocks = Blocks(self._grid.whole, *block), Blocks(self._grid.whole, *block)

    def _metadata_to_write(self) -> RasterMetadata | None:
        if self._metadata is None or self._options.driver == "gtiff":
            return self._metadata
        return hide_band_tags(self._metadata)

    def _refuse_misfit(self, window: Window, data: NDArray[Any], valid: NDArray[np.bool_] | None) -> None:
        grid = self._grid
        if data.shape != (grid.count, window.height, window.width) or data.dtype != grid.dtype:
            raise ValueError(f"{data.dtype} data of shape {data.shape} for {window} of {grid}")
        if window.intersection(grid.whole) != window:
            raise ValueError(f"{window} reaches outside {grid}")
        if window in self._checksums:
            raise ValueError(f"{window} is written twice")
        if valid is not None and not grid.mask and grid.nodata is None and not valid.all():
            raise ValueError("invalid pixels, but the output has neither nodata nor a mask to tell so")
        if grid.nbits is not None and data.size and data.max() >= 2**grid.nbits:
            raise ValueError(f"value {data.max()} does not fit {grid.nbits} bits")

    def _filled(self, data: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[Any]:
        if valid is None or self._grid.nodata is None or valid.all():
            return data
        return np.where(valid, data, np.array(self._grid.nodata, data.dtype))

    def _mask(self, data: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
        if valid is None:
            return np.full(data.shape[1:], 255, np.uint8)
        return valid.astype(np.uint8) * np.uint8(255)

    def _refuse_gaps(self) -> None:
        written = sum(window.pixels for window in self._checksums)
        if written != self._grid.whole.pixels:
            raise OutputError(
                f"{shown(self._path)} is not complete: {written} of {self._grid.whole.pixels} pixels were written; "
                f"{UNTOUCHED}"
            )

    def _close(self) -> None:
        dataset, self._dataset = self._dataset, None
        with writing(self._path):
            dataset.close()

    def _translate(self, progress: OnCommit) -> Path:
        final = self._temporary.with_suffix(".cog.tif")
        with writing(self._path):
            os.close(os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        complaint = copy_in_child(
            self._temporary, final, cog_options(self._grid, self._options), lambda: progress("translate", 0.0)
        )
        if complaint is not None:
            raise write_failure(self._path, complaint)
        if self._metadata is not None:
            with writing(self._path):
                reveal_band_tags(final, sum(len(tags.get(DEFAULT_DOMAIN, {})) for tags in self._metadata.band_tags))
        return final

    def _verify(self, final: Path, progress: OnCommit) -> None:
        try:
            verify_facts(final, self._rehearsal.facts, self._grid, self._options)
            checksums = self._checksums
            if not self._rehearsal.lossless:
                checksums = {window: checksum.of_mask_only() for window, checksum in checksums.items()}
            verify_blocks(final, checksums, self._options.threads, lambda share: progress("verify", share))
        except (Mismatch, *GDAL_ERRORS) as error:
            raise OutputError(
                f"{shown(self._path)} does not read back as it was written ({reason_of(error)}); is the disk full or "
                f"faulty? {UNTOUCHED}"
            ) from error

    def _publish(self, final: Path) -> None:
        with writing(self._path):
            if self._options.overwrite:
                os.replace(final, self._target)
            else:
                _rename_to_free_name(final, self._target)
        with suppress(OSError):  # the file is in place; not every file system can sync a folder
            _sync(self._target.parent)
        # Only now: until the rename the sidecars belong to the old image, which must stay whole if we stop before it.
        # A crash right here leaves sidecars that lie about the new image, but the run did not report success, and
        # the next one with --overwrite removes them. The other order could destroy overviews or masks of an image
        # that we then fail to replace.
        _remove_sidecars(self._target)

    def _discard(self) -> None:
        dataset, self._dataset = self._dataset, None
        if dataset is not None:
            with suppress(OutputError), writing(self._path):
                dataset.close()
        self._sweep(keep=None)

    def _sweep(self, keep: Path | None) -> None:
        """Remove temporary files of this writer, those that GDAL puts beside them included.

        Best effort: what cannot be removed must not hide why we are here.
        """
        for folder in working_folders(self._target):
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if f".{self._token}.part" in entry.name and (keep is None or entry.name != keep.name):
                        os.unlink(entry.path)


def _sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk; late write errors show up here."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename_to_free_name(source: Path, target: Path) -> None:
    """Rename without replacing what another run may have put there since we looked."""
    try:
        os.link(source, target)
    except FileExistsError as error:
        raise OutputError(f"{shown(target)} appeared meanwhile; add --overwrite to replace it") from error
    except OSError:  # a file system without hard links
        if target.exists():
            raise OutputError(f"{shown(target)} appeared meanwhile; add --overwrite to replace it") from None
        os.replace(source, target)
    else:
        os.unlink(source)


def _remove_sidecars(target: Path) -> None:
    for sidecar in sidecars(target):
        try:
            sidecar.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{shown(target)} is written, but {shown(sidecar)} describes the file that was there before and "
                f"cannot be removed ({error.strerror}); remove it"
            ) from error
