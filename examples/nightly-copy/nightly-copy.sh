#!/bin/sh
# Brings a copy of a SQLite database up to date, and proves it. For cron:
#
#   15 3 * * *  nightly-copy.sh /srv/shop.db /backup/shop.db
#
# The first night copies everything, later nights send what changed. Ends with 0 when both are equal; cron mails what
# is printed otherwise. 1: something differs or needs attention, 2: wrong use, 3: a disk or file is not there.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: nightly-copy.sh SOURCE.db COPY.db" >&2
    exit 2
fi

# Other programs cannot write the copy, so it stays one.
tidewater sync "sqlite:$1" "sqlite:$2" --protect
tidewater verify "sqlite:$1" "sqlite:$2"
