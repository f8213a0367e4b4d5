"""open_clip as clippan imports it: without what clippan does not use, and without taking that from anybody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ENCODE = """
from clippan_models.guidance.encoder import load_clip
import torch
clip = load_clip("embedded", torch.device("cpu"))
print(*clip.texts(["a sharp image"]).shape, "timm" in sys.modules)
"""
_OWN = """
import open_clip
print("own", open_clip.hf_model.transformers.__name__, open_clip.timm_model.timm.__name__)
"""


@pytest.fixture
def with_transformers(tmp_path: Path) -> Path:
    """A folder of packages in which there is one named transformers, which tells when it is imported."""
    package = tmp_path / "transformers"
    package.mkdir()
    (package / "__init__.py").write_text(
        'print("transformers imported")\nAutoModel = AutoTokenizer = AutoConfig = PretrainedConfig = object\n'
    )
    (package / "modeling_outputs.py").write_text(
        "class BaseModelOutput: ...\nBaseModelOutputWithPooling = BaseModelOutput\n"
        "BaseModelOutputWithPoolingAndCrossAttentions = BaseModelOutput\n"
    )
    return tmp_path


def printed(program: str, packages: Path) -> list[str]:
    code = f"import sys\nsys.path.insert(0, {str(packages)!r})\n{program}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_clip_does_not_wait_for_packages_that_it_does_not_use(with_transformers: Path) -> None:
    assert printed(_ENCODE, with_transformers) == ["1 192 False"]


def test_whoever_imports_open_clip_afterwards_gets_all_of_it(with_transformers: Path) -> None:
    assert printed(_ENCODE + _OWN, with_transformers) == [
        "1 192 False",
        "transformers imported",
        "own transformers timm",
    ]


def test_an_open_clip_that_is_there_already_is_shared(with_transformers: Path) -> None:
    program = """
import importlib
from clippan_models.guidance import backend
before = backend.import_open_clip()
import open_clip
print(importlib.reload(backend).import_open_clip() is open_clip is not before)
"""
    assert printed(program, with_transformers) == ["transformers imported", "True"]


def test_threads_that_need_it_at_the_same_time_all_get_it_whole(with_transformers: Path) -> None:
    program = """
from concurrent.futures import ThreadPoolExecutor
from clippan_models.guidance.backend import import_open_clip
with ThreadPoolExecutor(4) as pool:
    print(len(set(pool.map(lambda _: import_open_clip().model.CLIP, range(4)))))
"""
    assert printed(program, with_transformers) == ["1"]
