"""The program that trains the embedded CLIP; not part of the installed package."""
