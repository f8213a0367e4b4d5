# Read by scripts/demo and scripts/test: makes a virtual environment and installs clippan there.
#
# The environment is .venv in the checkout, or the folder that CLIPPAN_VENV names. `install_clippan plain` installs
# clippan as a user would, `install_clippan dev` in place, with the tools of a developer. A stamp in the environment
# says what it was installed from, so a second run installs nothing.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=${CLIPPAN_VENV:-$root/.venv}
case $venv in
  /*) ;;
  *) venv=$PWD/$venv ;;
esac

fail() {
  echo "$0: $*" >&2
  exit 1
}

new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
  for python in python3.13 python3.12 python3.11 python3; do
    if new_enough "$python"; then
      echo "$python"
      return
    fi
  done
  return 1
}

make_venv() {
  if [ -x "$venv/bin/python" ]; then
    new_enough "$venv/bin/python" || fail "the Python in $venv is broken or older than 3.11; remove that folder and run this again"
    return
  fi
  [ ! -e "$venv" ] || fail "$venv exists but holds no Python; remove it and run this again"
  python=$(find_python) || fail "Python 3.11 or newer is needed; none of python3.13, python3.12, python3.11 and python3 is that"
  echo "making $venv with $("$python" --version)" >&2
  if ! "$python" -m venv "$venv" >&2; then
    rm -rf "$venv"
    fail "$python cannot make virtual environments; on Debian and Ubuntu install python3-venv first"
  fi
}

# What clippan is installed from: a copy follows its code, an installation in place only what it depends on.
fingerprint() {
  case $1 in
    plain) (cd "$root" && find pyproject.toml clippan clippan_cli models -type f ! -name '*.pyc' -exec cksum {} + | sort | cksum) ;;
    dev) (cd "$root" && echo "$root" && cksum <pyproject.toml) ;;
  esac
}

install_clippan() {
  make_venv
  if [ -e "$venv/clippan-dev" ]; then set -- dev; fi # the environment of a developer stays one
  installed=$(fingerprint "$1")
  if [ "$(cat "$venv/clippan-$1" 2>/dev/null)" = "$installed" ]; then return; fi
  echo "installing clippan in $venv; the first time this takes minutes, most of it for torch" >&2
  case $1 in
    plain) pip_install . ;;
    dev) pip_install -e '.[dev]' ;;
  esac
  echo "$installed" >"$venv/clippan-$1"
}

pip_install() {
  (cd "$root" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@") >&2 ||
    fail "clippan could not be installed; pip says above why"
}
