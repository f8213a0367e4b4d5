"""How hard to try: some spoiled files in every run of the tests, many by hand.

pytest tests/fuzz --hypothesis-profile=long
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("long", max_examples=2000)
