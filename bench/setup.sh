#!/usr/bin/env bash
# Installs what the comparison with SQLite's session extension needs: a Python environment with apsw, beside the
# builds. Needs python3 with venv, and pip's usual way to its packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Pinned, so that the figures in README.md stay comparable. The bench prints which SQLite it brings.
apsw_version=3.54.1.0
folder="${CARGO_TARGET_DIR:-target}/bench-venv"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "apsw==$apsw_version"
"$folder/bin/python" -c 'import apsw; print("apsw with SQLite", apsw.sqlite_lib_version())'
