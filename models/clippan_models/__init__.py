"""What sharpens an image and what judges it: tensors only, no files, no terminal."""
