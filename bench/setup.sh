#!/usr/bin/env bash
# Installs what the comparisons with others need, beside the builds: a Python environment with apsw, for SQLite's
# session extension and to drive cr-sqlite; cr-sqlite itself, which is built into a package of Rust's; and PouchDB. Needs
# python3 with venv, and the usual ways to their packages of pip, cargo and npm. Where there is no node, PouchDB is left
# out, and where cr-sqlite is not built for the machine, so is that: the bench says what was not measured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Pinned, so that the figures in README.md stay comparable. The bench prints which SQLite it brings.
apsw_version=3.54.1.0
crsqlite_package=klukai-types
crsqlite_version=0.4.0
pouchdb_version=9.0.0
folder="${CARGO_TARGET_DIR:-target}/bench-venv"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "apsw==$apsw_version"
"$folder/bin/python" -c 'import apsw; print("apsw with SQLite", apsw.sqlite_lib_version())'

case "$(uname -s)-$(uname -m)" in
Linux-x86_64) built=crsqlite-linux-x86_64.so ;;
Linux-aarch64) built=crsqlite-linux-aarch64.so ;;
Darwin-arm64) built=crsqlite-darwin-aarch64.dylib ;;
Darwin-x86_64) built=crsqlite-darwin-x86_64.dylib ;;
*) built= ;;
esac
if [ -n "$built" ]; then
    # Asked for what it says of itself, cargo brings this one package, and none that it depends on.
    (cd / && cargo info --quiet "$crsqlite_package@$crsqlite_version" >/dev/null)
    cp "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$crsqlite_package-$crsqlite_version/$built" "$folder/crsqlite.so"
    "$folder/bin/python" - "$folder/crsqlite.so" <<'PYTHON'
import sys
import apsw
c = apsw.Connection(":memory:")
c.enable_load_extension(True)
c.load_extension(sys.argv[1], "sqlite3_crsqlite_init")
print("cr-sqlite", sys.argv[1], "with sites of", len(c.execute("select crsql_site_id()").fetchone()[0]), "bytes")
c.execute("select crsql_finalize()")
PYTHON
fi

if command -v npm >/dev/null; then
    npm install --silent --no-audit --no-fund --prefix "$folder" "pouchdb@$pouchdb_version"
    (cd "$folder" && node -e 'console.log("PouchDB", require("pouchdb").version, "on node", process.version)')
fi
