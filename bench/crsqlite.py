"""What cr-sqlite takes to bring two files in step that were both written to.

Usage: crsqlite.py EXTENSION make BASE FILE: a file with the rows of BASE, in a table that takes part; two of them, made
apart, hold equal rows and know each other by none of them.
crsqlite.py EXTENSION meet ONE OTHER ROWS CHANGES TX: writes what `mixed` writes to ONE and `mixed-elsewhere` to OTHER,
then carries the changes of each since before these writes to the other, durably, in one transaction a direction.

`meet` is done in the two usual ways, `CRSQLITE_WAY=in-turn` or `at-once`: both directions in one process, all read
before anything is written; or each direction in
a process of its own, both at once, rows written while they are read. Prints one line of JSON: the seconds from the
first read to the last commit.
"""
import json
import multiprocessing
import os
import sys
import time

import apsw

import writes

COLUMNS = '"table", pk, cid, val, col_version, db_version, site_id, cl, seq, ts'
READ = f"select {COLUMNS} from crsql_changes where db_version > ? and site_id = crsql_site_id()"
WRITE = f"insert into crsql_changes({COLUMNS}) values(?,?,?,?,?,?,?,?,?,?)"
EXTENSION = sys.argv[1]


def connect(path, synchronous="full"):
    c = apsw.Connection(path)
    c.enable_load_extension(True)
    c.load_extension(EXTENSION, "sqlite3_crsqlite_init")
    c.execute("pragma journal_mode=wal")
    c.execute(f"pragma synchronous={synchronous}")
    return c


def close(c):
    c.execute("select crsql_finalize()")
    c.close()


def make(base, path):
    c = connect(path, "off")
    c.execute("create table items(id integer primary key not null, name text, doc text, at text, amount real)")
    c.execute("attach ? as base", (base,))
    c.execute("insert into items select * from base.items")
    c.execute("detach base")
    c.execute("select crsql_as_crr('items')")
    c.execute("pragma wal_checkpoint(truncate)")
    close(c)


def carry(source, target, version):
    """One direction; rows are written while they are read."""
    with target:
        target.executemany(WRITE, source.execute(READ, (version,)))


def in_turn(one, other, versions):
    files = [connect(one), connect(other)]
    start = time.monotonic()
    read = [list(c.execute(READ, (version,))) for c, version in zip(files, versions)]
    for c, rows in zip(files, reversed(read)):
        with c:
            c.executemany(WRITE, rows)
    took = time.monotonic() - start
    for c in files:
        close(c)
    return took


def direction(source, target, version, barrier, answers):
    source, target = connect(source), connect(target)
    barrier.wait()
    start = time.monotonic()
    carry(source, target, version)
    answers.put((start, time.monotonic()))
    barrier.wait()
    close(source)
    close(target)


def at_once(one, other, versions):
    barrier, answers = multiprocessing.Barrier(2), multiprocessing.Queue()
    ways = [(one, other, versions[0]), (other, one, versions[1])]
    processes = [multiprocessing.Process(target=direction, args=(*way, barrier, answers)) for way in ways]
    for process in processes:
        process.start()
    starts, ends = zip(*(answers.get() for _ in processes))
    for process in processes:
        process.join()
        if process.exitcode != 0:
            sys.exit("a direction failed")
    return max(ends) - min(starts)


def meet(one, other, rows, count, tx):
    versions = []
    for path, write in [(one, writes.mixed), (other, writes.mixed_elsewhere)]:
        c = connect(path, "normal")
        versions.append(c.execute("select crsql_db_version()").fetchone()[0])
        write(rows, count, tx, c)
        c.execute("pragma wal_checkpoint(truncate)")
        close(c)
    os.sync()
    way = {"in-turn": in_turn, "at-once": at_once}[os.environ["CRSQLITE_WAY"]]
    print(json.dumps({"seconds": way(one, other, versions)}))


if sys.argv[2] == "make":
    make(*sys.argv[3:5])
else:
    meet(*sys.argv[3:5], *map(int, sys.argv[5:8]))
