"""Does a suite say which scenes, methods and images it has, and refuse what it cannot mean?"""

from __future__ import annotations

from pathlib import Path

import pytest

from clippan_cli.bench.suite import read_suite
from clippan_models.errors import ClippanError

ROOT = Path(__file__).resolve().parents[2]
SCENE = '[[scene]]\nname = "a"\nsynthetic = 7\n'
METHOD = '[[method]]\nname = "exp"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(text)
    return path


def test_a_pattern_stands_for_every_scene_whose_files_fit(tmp_path: Path) -> None:
    for name in ("two_ms.tif", "one_ms.tif", "one_pan.tif", "other.tif"):
        (tmp_path / name).touch()
    text = '[[scene]]\nname = "qb *"\nms = "*_ms.tif"\npan = "*_pan.tif"\ncoregister = "off"\n' + METHOD
    scenes = read_suite(written(tmp_path, text)).scenes
    assert [scene.name for scene in scenes] == ["qb one", "qb two"]
    assert scenes[1].ms == (str(tmp_path / "two_ms.tif"),) and scenes[1].pan == str(tmp_path / "two_pan.tif")
    assert scenes[0].options == {"coregister": "off"}


def test_the_scenes_of_an_archive_are_taken_with_their_truth(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("ms,pan,id,reference\nm1.tif,p1.tif,one,t1.tif\nm2.tif,p2.tif,two,\n")
    for name in ("m1", "p1", "t1", "m2", "p2"):
        (tmp_path / f"{name}.tif").touch()
    one, two = read_suite(written(tmp_path, '[[scene]]\nname = "x"\narchive = "table.csv"\n' + METHOD)).scenes
    assert (one.name, two.name) == ("x one", "x two")
    assert one.files and two.files
    assert (one.files.pan, one.files.reference) == (str(tmp_path / "p1.tif"), str(tmp_path / "t1.tif"))
    assert two.files.reference is None


def test_methods_take_options_and_seeds(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").touch()
    text = 'seeds = [1, 2]\n[[method]]\nname = "mine"\nmethod = "network"\nsteps = 3\nweights = "mine.safetensors"\n'
    mine, plain = read_suite(written(tmp_path, text + METHOD + "seeds = [5]\n" + SCENE)).methods
    assert (mine.method, mine.seeds) == ("network", (1, 2))
    assert mine.options == {"steps": 3, "weights": str(tmp_path / "mine.safetensors")}
    assert (plain.method, plain.seeds, plain.options) == ("exp", (5,), {})


def test_images_of_other_code_are_found_by_the_longest_name_of_a_scene(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a_theirs.tif", "a_1_theirs.tif", "unknown_theirs.tif"):
        (images / name).touch()
    text = SCENE + SCENE.replace('"a"', '"a_1"') + METHOD
    found = read_suite(written(tmp_path, text), images).results
    assert [(each.scene, each.method) for each in found] == [("a_1", "theirs"), ("a", "theirs")]


@pytest.mark.parametrize(
    ("key", "shown"), [("", ["a"]), ('error_maps = ["b", "a"]\n', ["b", "a"]), ("error_maps = []\n", [])]
)
def test_errors_are_mapped_for_the_first_scene_with_truth_or_those_that_are_named(
    tmp_path: Path, key: str, shown: list[str]
) -> None:
    bare = '[[scene]]\nname = "bare"\nms = "m.tif"\npan = "p.tif"\n'
    text = key + bare + SCENE + SCENE.replace('"a"', '"b"') + METHOD
    assert list(read_suite(written(tmp_path, text)).error_maps) == shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (METHOD, "at least one [[scene]]"),
        (SCENE, "at least one [[scene]] and one [[method]]"),
        (SCENE + SCENE + METHOD, "two scenes called a"),
        (SCENE + METHOD + METHOD, "two methods called exp"),
        (SCENE + '[[method]]\nname = "../up"\n', "cannot be the name of a folder"),
        (SCENE + METHOD + "stepz = 3\n", "method exp: there is no option called 'stepz' (did you mean steps?)"),
        (SCENE + METHOD + "overwrite = true\n", "no option called 'overwrite'"),
        (SCENE + "method = 3\n" + METHOD, "scene a: there is no option called 'method'"),
        (SCENE + 'side = "wide"\n' + METHOD, "scene a: Expected `int`"),
        (SCENE + 'pan = "p.tif"\nms = "m.tif"\n' + METHOD, "give ms and pan, or archive, or image, or synthetic"),
        ('[[scene]]\nname = "a"\nms = "m.tif"\n' + METHOD, "give ms and pan, or archive, or image, or synthetic"),
        ('[[scene]]\nms = "*_ms.tif"\npan = "*_pan.tif"\n' + METHOD, "no file fits"),
        (SCENE + METHOD + '[metrics]\nnames = ["Q9"]\n', "no index called 'Q9'"),
        (SCENE + METHOD + '[[result]]\nmethod = "b"\nscene = "z"\nfile = "z.tif"\n', "no scene called 'z'"),
        (SCENE + METHOD + '[[result]]\nmethod = "exp"\nscene = "a"\nfile = "z.tif"\n', "a method and of a result"),
        ('error_maps = ["b"]\n' + SCENE + METHOD, "no scene called 'b'"),
        ("error_maps = 3\n" + SCENE + METHOD, "error_maps names scenes: Expected `array`"),
        (
            'error_maps = ["p"]\n' + METHOD + '[[scene]]\nname = "p"\nms = "m.tif"\npan = "p.tif"\n',
            "scene p has no truth: take it out of error_maps",
        ),
        ("scenes = 3\n", "no key called 'scenes' (did you mean scene?)"),
        ("scene = 3\n", "scene must be tables"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ClippanError) as refusal:
        read_suite(written(tmp_path, text))
    assert said in str(refusal.value)


@pytest.mark.parametrize("path", sorted((ROOT / "suites").glob("*.toml")), ids=lambda path: path.stem)
def test_the_suites_that_come_with_clippan_are_possible(path: Path) -> None:
    from clippan_cli.options.sharpen import sharpen_options

    suite = read_suite(path)
    for method in suite.methods:
        sharpen_options(Path("fused.tif"), {**method.options, "method": method.method})
    for scene in suite.scenes:
        named = [*scene.ms, scene.pan, scene.image]
        assert all(Path(name).is_file() for name in named if name)
