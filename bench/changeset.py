"""What SQLite's own session extension does with the changes of the bench: record a changeset, apply it.

Usage: changeset.py SOURCE TARGET ROWS CHANGES TX. Both files hold the same ROWS rows. Prints one line of JSON:
seconds to write the changes with a session attached, to make the changeset of it, and to apply that at TARGET,
durably, in one transaction.
"""
import json
import sys
import time

import apsw

import writes


def connect(path, synchronous):
    c = apsw.Connection(path)
    c.execute("pragma journal_mode=wal")
    c.execute(f"pragma synchronous={synchronous}")
    return c


def main():
    source, target = sys.argv[1:3]
    rows, n, tx = map(int, sys.argv[3:6])
    c = connect(source, "normal")
    session = apsw.Session(c, "main")
    session.attach()
    start = time.monotonic()
    writes.mixed(rows, n, tx, c)
    written = time.monotonic()
    blob = session.changeset()
    recorded = time.monotonic()
    session.close()
    c.close()
    # FULL, as Tidewater writes: what was applied survives the crash of the machine.
    c = connect(target, "full")
    before = time.monotonic()
    apsw.Changeset.apply(blob, c, conflict=lambda *_: apsw.SQLITE_CHANGESET_REPLACE)
    applied = time.monotonic()
    c.close()
    print(json.dumps({
        "write_s": written - start,
        "changeset_s": recorded - written,
        "apply_s": applied - before,
        "bytes": len(blob),
        "sqlite": apsw.sqlite_lib_version(),
    }))


main()
