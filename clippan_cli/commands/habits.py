"""Options as GDAL, rio and the Orfeo Toolbox spell them: taken for ours where they mean the same, else explained.

Typer would read `-of GTiff` as `-o f GTiff`. So the arguments are translated before it sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clippan_cli.options.flags import spelled
from clippan_models.errors import UsageError

_BOX = 4


@dataclass(frozen=True)
class Habit:
    """What other programs call an option.

    Attributes:
        spellings: as they write it.
        ours: the option here that means the same; None: there is none.
        instead: what to do where there is none.
        order: of the numbers of a box, as ours has them.
        key: what our value begins with.
    """

    spellings: tuple[str, ...]
    ours: str | None = None
    instead: str = ""
    order: tuple[int, ...] = (0, 1, 2, 3)
    key: str = ""


def _same(spellings: str, ours: str, **more: Any) -> Habit:
    return Habit(tuple(spellings.split()), spelled(ours), **more)


def _none(spellings: str, instead: str) -> Habit:
    return Habit(tuple(spellings.split()), None, instead)


_VALUES: Mapping[str, Mapping[str, str | None]] = {
    "--dtype": {"byte": "uint8", "float": "float32"},
    "--resampling": {"bco": "cubic", "nn": "nearest", "near": "nearest", "linear": "bilinear", "cubicspline": "spline"},
    "--threads": {"all_cpus": None},
}
"""What other programs call values, in lower case, and what they are called here; None: the option is left out."""

HABITS = (
    _same("-f --format --driver --output-format", "of"),
    _same("--creation-option --profile", "co"),
    _same("-bitdepth --bit-depth -nbits", "co", key="NBITS="),
    _same("--bidx --band -band", "bands"),
    _same("-r --r-method -interpolator --interpolator", "resampling"),
    _same("-w --weight -weight", "weights-pan"),
    _same("-ot -t --dst-dtype --output-data-type", "dtype"),
    _same("-a_nodata -srcnodata -dstnodata --src-nodata --dst-nodata -fv", "nodata"),
    _same("--jobs --num-threads", "threads"),
    _same("-wm", "ram"),
    _same("-te --bounds", "bbox"),
    _same("-projwin", "bbox", order=(0, 3, 2, 1)),
    _same("-te_srs -projwin_srs", "bbox-crs"),
    _same("-cutline --cutline", "aoi"),
    _same("-cl --cutline-layer", "aoi-layer"),
    _same("-cwhere --cutline-where", "aoi-where"),
    _same("-inxs -inms", "ms"),
    _same("-inp", "pan"),
    _same("-out --dst_path", "output"),
    _none("-spat_adjust --spatial-extent-adjustment", "use --extent intersection or --extent pan"),
    _none("-scale -unscale", "use --scale-to LOW,HIGH"),
    _none("-crop_to_cutline", "leave it out: --aoi crops to the polygons"),
    _none("-srcwin", "use --bbox L,B,R,T in coordinates of the map"),
    _none(
        "-tr -ts -outsize -t_srs -dst_crs --dst-crs -tap",
        "the result has the grid of PAN; use gdalwarp on it where you need another",
    ),
    _none("-a_srs -a_ullr", "use gdal_edit.py on the input"),
    _none("--out-alpha -dstalpha", "leave it out: pixels without data get the nodata value of MS, or a mask"),
    _none("-mode -lms", "leave it out: the grids of both images and their RPCs tell how they lie"),
    _none("-elev.dem -elev.geoid -elev.default", "no elevation is used: orthorectify both images before"),
    _none("-wo -wt -oo -multi -verbose_vrt -half-window --half-window", "leave it out: clippan has nothing like it"),
)
"""What other programs call our options, beyond one hyphen instead of two, which is understood for all."""

_ELSEWHERE = {spelling: habit for habit in HABITS for spelling in habit.spellings}


def translated(arguments: Sequence[str], root: Any) -> list[str]:
    """The arguments of a run as clippan spells them.

    Args:
        arguments: those after the name of the program.
        root: the application, as Typer has built it.

    Raises:
        UsageError: an option of another program that has no equal here.
    """
    words, command, leading = list(arguments), root, []
    while words and words[0] in getattr(command, "commands", {}):
        leading.append(words.pop(0))
        command = command.commands[leading[-1]]
    if not leading:
        return words
    return [*leading, *_Translation(words, command, frozenset(_all_options(root))).words()]


def _all_options(root: Any) -> Iterator[str]:
    """The spellings of all options of all commands."""
    yield from _own_options(root)
    for command in getattr(root, "commands", {}).values():
        yield from _all_options(command)


def _own_options(command: Any) -> dict[str, Any]:
    """The options of a command by their spellings."""
    options = [one for one in command.params if one.param_type_name == "option"]
    return {"--help": None} | {name: one for one in options for name in (*one.opts, *one.secondary_opts)}


class _Translation:
    """Takes the words after the name of a command off a list, and gives them as clippan spells them."""

    def __init__(self, words: list[str], command: Any, anywhere: frozenset[str]) -> None:
        self._left = words
        self._command = command.name
        self._own = _own_options(command)
        self._anywhere = anywhere

    def words(self) -> Iterator[str]:
        """All of them."""
        while self._left:
            word = self._left.pop(0)
            name, equals, value = word.partition("=")
            habit = self._habit_of(name) if name.startswith("-") else None
            if word == "--":
                yield from (word, *self._left)
                return
            if habit is None:
                yield word
                continue
            if equals:
                self._left.insert(0, value)
            yield from self._option(name, habit)

    def _habit_of(self, name: str) -> Habit | None:
        """What an option is here, whoever spells it so."""
        if name in self._own:
            return Habit((), name)
        if name in _ELSEWHERE:
            return _ELSEWHERE[name]
        return Habit((), f"-{name}") if len(name) > 2 and f"-{name}" in self._anywhere else None

    def _option(self, name: str, habit: Habit) -> Iterator[str]:
        ours = habit.ours
        if ours is None:
            raise UsageError(f"there is no {name} here: {habit.instead}")
        if ours not in self._own:
            raise UsageError(
                f"there is no {name} here: it would be {ours}, which clippan {self._command} does not have"
            )
        if not _takes_value(self._own[ours]) or not self._left:
            yield ours
        elif ours == "--bbox":
            box = self._box()
            yield from (ours, ",".join(box[place] for place in habit.order) if len(box) == _BOX else ",".join(box))
        else:
            value = self._left.pop(0)
            meant = _VALUES.get(ours, {}).get(value.lower(), value)
            yield from () if meant is None else (ours, habit.key + meant)

    def _box(self) -> list[str]:
        """A box in one word or in four."""
        box = self._left.pop(0).replace(",", " ").split()
        while len(box) < _BOX and self._left and _is_number(self._left[0]):
            box.append(self._left.pop(0).rstrip(","))
        return box


def _takes_value(option: Any) -> bool:
    return not (option is None or option.is_flag or option.count)


def _is_number(word: str) -> bool:
    try:
        float(word.rstrip(","))
    except ValueError:
        return False
    return True
