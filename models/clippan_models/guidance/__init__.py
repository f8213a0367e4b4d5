"""The side of language: a frozen CLIP that looks at images, the prompts it compares them with, and its adapters."""
