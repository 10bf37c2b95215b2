#!/bin/sh
# Create or update .venv from constraints.txt. `make` calls this when pyproject.toml or the constraints change.
set -eu
cd "$(dirname "$0")/.."

venv=.venv
here=scripts/install_debian.sh
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}

# Python 3.11 first: constraints.txt was locked with it.
find_python() {
    for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    python=$(find_python)
    if [ -z "$python" ]; then
        found=$(${PYTHON:-python3} --version 2>/dev/null || echo "no ${PYTHON:-python3}")
        echo "bitwright: Python 3.11 or newer is needed, found: $found" >&2
        echo "Install it (Debian 12: sudo apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3.11" >&2
        exit 1
    fi
    # Debian's python3 comes without ensurepip; python3.X-venv brings it.
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import venv, ensurepip' 2>/dev/null \
        || $here "the virtual environment" "python$version-venv"
    echo "Creating $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

quiet=
[ -t 1 ] || quiet=-q    # progress bars are for people
install() {
    "$venv/bin/python" -m pip install --disable-pip-version-check $quiet -c constraints.txt "$@"
}

echo "Installing the packages of constraints.txt into $venv (2 GB, a few minutes)"
# Build with the locked setuptools instead of fetching one for every build.
install setuptools
# On Linux, PyPI's torch brings several GB of CUDA; PyTorch's own index has a build for the CPU alone.
if ! install --no-deps --retries 0 --timeout 15 --index-url "$torch_index" torch; then
    echo "No torch from $torch_index (set TORCH_INDEX to a mirror): taking the one of your package index," >&2
    echo "which on Linux brings several GB of CUDA libraries. Everything works with it." >&2
    install --no-deps torch
fi
install --no-build-isolation -e '.[test]'

# cocotb embeds Python in the simulator: Debian keeps the shared library in a package of its own.
if ! "$venv/bin/python" -c 'import sys, find_libpython; sys.exit(find_libpython.find_libpython() is None)'; then
    version=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    $here "cocotb" "libpython$version"
fi
