#!/bin/sh
# Create or update .venv from constraints.txt. `make` calls this when pyproject.toml or the constraints change.
set -eu
cd "$(dirname "$0")/.."

venv=.venv
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

python=$venv/bin/python
"$python" -c 'import pip' 2>/dev/null || python=$(find_python)
if [ -z "$python" ]; then
    found=$(${PYTHON:-python3} --version 2>/dev/null || echo "no ${PYTHON:-python3}")
    echo "bitwright: Python 3.11 or newer is needed, found: $found" >&2
    echo "Install it (Debian 12: sudo apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3.11" >&2
    exit 1
fi

# Everything that is missing is asked for at once. Debian splits its Python: ensurepip lies in python3.X-venv, and
# libpython3.X holds the shared library that cocotb loads into the simulator.
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
missing=
command -v iverilog >/dev/null && command -v vvp >/dev/null || missing=iverilog
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python$version-venv"
if "$python" -c 'import sys; sys.exit(sys.base_prefix != "/usr")' && command -v dpkg >/dev/null; then
    dpkg -s "libpython$version" >/dev/null 2>&1 || missing="$missing libpython$version"
fi
[ -z "$missing" ] || sh scripts/install_debian.sh "Bitwright" $missing

if [ "$python" != "$venv/bin/python" ]; then
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

if ! "$venv/bin/python" -c 'import sys, find_libpython; sys.exit(find_libpython.find_libpython() is None)'; then
    echo "bitwright: this Python has no shared library (libpython$version), which cocotb loads into the simulator." >&2
    echo "Install it, or name a Python built with --enable-shared: make distclean setup PYTHON=/path/to/python" >&2
    exit 1
fi
