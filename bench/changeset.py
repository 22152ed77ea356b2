"""What SQLite's own session extension does with the changes of the bench: record a changeset, apply it.

Usage: changeset.py SOURCE TARGET ROWS CHANGES TX. Both files hold the same ROWS rows. Prints one line of JSON:
seconds to write the changes with a session attached, to make the changeset of it, and to apply that at TARGET,
durably, in one transaction. `changes` does exactly what `Writes::mixed` in src/rows.rs does.
"""
import json
import sys
import time

import apsw


def changes(c, rows, n, tx):
    """60 inserts, 30 updates, 10 deletes in a hundred, `tx` of them a transaction."""
    for i in range(1, n + 1):
        if (i - 1) % tx == 0:
            c.execute("begin")
        r = i % 10
        if r < 6:
            c.execute("insert into items values(?,?,?,?,?)",
                      (rows + i, f"n{i:032x}", '{"k":1,"tag":"%032x"}' % i, "2026-06-01 00:00:00", i / 100))
        elif r < 9:
            c.execute("update items set doc=?, amount=amount+1 where id=?",
                      ('{"k":2,"tag":"%032x"}' % i, (i * 7919) % (rows * 9 // 10) + 1))
        else:
            c.execute("delete from items where id=?", (rows * 9 // 10 + i // 10 + 1,))
        if i % tx == 0 or i == n:
            c.execute("commit")


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
    changes(c, rows, n, tx)
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
