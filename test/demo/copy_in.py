#!/usr/bin/env python3
"""COPY a file through psql, saying how far it is and how fast it was.

    copy_in.py FILE WHAT COMMAND...    one of the commands is a COPY ... FROM STDIN
"""

import os
import subprocess
import sys
import time

CHUNK = 1 << 20


def main():
    path, what, commands = sys.argv[1], sys.argv[2], sys.argv[3:]
    size = os.path.getsize(path)
    rows = sent = 0
    live = sys.stderr.isatty()
    shown = 0
    start = time.monotonic()
    options = [word for command in commands for word in ("-c", command)]
    psql = subprocess.Popen(["psql", "-X", "-q", "-o", os.devnull,
                             "-v", "ON_ERROR_STOP=1"] + options,
                            stdin=subprocess.PIPE)
    try:
        with open(path, "rb") as data:
            while True:
                chunk = data.read(CHUNK)
                if not chunk:
                    break
                psql.stdin.write(chunk)
                rows += chunk.count(b"\n")
                sent += len(chunk)
                percent = 100 * sent // size
                if percent >= shown + (1 if live else 25):
                    shown = percent
                    print("  %s: %d %%, %d rows sent" % (what, percent, rows),
                          end="\r" if live else "\n", file=sys.stderr, flush=True)
        psql.stdin.close()
    except BrokenPipeError:
        pass                    # psql has said why
    if psql.wait() != 0:
        sys.exit(1)
    seconds = time.monotonic() - start
    print("  %s: %d rows in %.1f s, %d a second" %
          (what, rows, seconds, rows / seconds), flush=True)


if __name__ == "__main__":
    main()
