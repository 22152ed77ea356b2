"""The writes of the bench, for what is measured from Python: the same as those of `Writes` in src/rows.rs."""


def scattered(rows, i):
    """The key of a row far from the one before."""
    return i * 7919 % (rows * 9 // 10) + 1


def mixed(rows, count, tx, c):
    """60 inserts, 30 updates, 10 deletes in a hundred, `tx` of them a transaction."""
    write(c, count, tx, rows, 0, lambda i: scattered(rows, i), rows * 9 // 10)


def mixed_elsewhere(rows, count, tx, c):
    """The same mixture to other rows, but for one update in thirty, which meets one of `mixed`."""
    write(c, count, tx, rows + count, count, lambda i: scattered(rows, i if i % 100 == 6 else i + 5), rows * 19 // 20)


def write(c, count, tx, inserted_after, tag, updated, deleted_after):
    for i in range(1, count + 1):
        if (i - 1) % tx == 0:
            c.execute("begin")
        r = i % 10
        if r < 6:
            c.execute("insert into items values(?,?,?,?,?)",
                      (inserted_after + i, f"n{i:032x}", '{"k":1,"tag":"%032x"}' % i, "2026-06-01 00:00:00", i / 100))
        elif r < 9:
            c.execute("update items set doc=?, amount=amount+1 where id=?",
                      ('{"k":2,"tag":"%032x"}' % (i + tag), updated(i)))
        else:
            c.execute("delete from items where id=?", (deleted_after + i // 10 + 1,))
        if i % tx == 0 or i == count:
            c.execute("commit")
