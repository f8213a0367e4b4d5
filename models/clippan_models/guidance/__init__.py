"""Guidance by language: a frozen CLIP, the prompts that it compares images with, and its adapters."""
