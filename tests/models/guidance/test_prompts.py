"""Prompts: the paper's words, the user's own, and what is said about those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clippan_models.errors import UsageError
from clippan_models.guidance.embedded import embedded_tokenizer
from clippan_models.guidance.prompts import DEFAULT, MAX_CHARACTERS, PROMPTS, Prompts, find_prompts, load_prompts


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_is_walds_protocol_in_the_words_of_the_paper() -> None:
    prompts = find_prompts(DEFAULT)
    assert prompts.texts() == [
        "a multispectral image",
        "a panchromatic image",
        "High-quality reference image adhering to Wald's protocol: spectrally consistent with original data "
        "and spatially sharp",
    ]


def test_the_sets_differ_in_what_they_say_of_the_fused_image_only() -> None:
    assert set(PROMPTS) == {"wald", "khan", "i", "ii", "noise"}
    assert len({prompts.hrms for prompts in PROMPTS.values()}) == len(PROMPTS)
    assert {(prompts.ms, prompts.pan) for prompts in PROMPTS.values()} == {
        ("a multispectral image", "a panchromatic image")
    }


def test_the_apostrophe_of_the_paper_reads_as_ours() -> None:
    ours = find_prompts("wald").hrms
    tokenizer = embedded_tokenizer()
    assert tokenizer([ours]).tolist() == tokenizer([ours.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")]).tolist()


@pytest.mark.parametrize("text", [text for prompts in PROMPTS.values() for text in prompts.texts()])
def test_the_embedded_model_reads_every_set_to_its_end(text: str) -> None:
    tokenizer = embedded_tokenizer()
    assert len(tokenizer.encode(text)) + 2 <= tokenizer.context_length


def test_an_unknown_set_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'walt' \(did you mean wald\?\); available: wald, khan, i, ii, noise"):
        find_prompts("walt")
    assert find_prompts(" Khan ") == PROMPTS["khan"]


def test_a_users_own_words_replace_those_for_the_fused_image() -> None:
    prompts = find_prompts("wald").with_hrms("a crisp picture of my town")
    assert prompts == Prompts("a multispectral image", "a panchromatic image", "a crisp picture of my town")


@given(
    st.text(min_size=1, max_size=MAX_CHARACTERS, alphabet=st.characters(exclude_categories=["Cs", "Cc"])).filter(
        lambda s: s.strip() != ""
    )
)
def test_any_words_survive_the_way_through_a_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    path = write(tmp_path_factory.mktemp("prompts"), f'ms = "one"\npan = "two"\nhrms = "{quoted}"\n')
    assert load_prompts(path) == Prompts("one", "two", text)


def test_ms_and_pan_may_be_left_out_of_a_file(tmp_path: Path) -> None:
    assert load_prompts(write(tmp_path, 'hrms = "sharp"')) == find_prompts("wald").with_hrms("sharp")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('ms = "one"', "hrms is missing"),
        ('hmrs = "typed badly"', "no key called 'hmrs' (did you mean hrms?)"),
        ('hrms = "x"\ncolour = "y"', "no key called 'colour'; available: ms, pan, hrms"),
        ('hrms = "  "', "hrms prompt is empty"),
        ("hrms = 3", "hrms must be a text, not 3"),
        (f'hrms = "{"long " * 200}"', f"1000 characters; at most {MAX_CHARACTERS}"),
        ("hrms = ", "not valid TOML"),
    ],
)
def test_a_file_that_does_not_hold_prompts_is_named_with_its_fault(tmp_path: Path, content: str, reason: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UsageError) as caught:
        load_prompts(path)
    assert str(path) in str(caught.value) and reason in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read as a prompt file: No such file"):
        load_prompts(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        load_prompts(tmp_path / "binary.toml")
