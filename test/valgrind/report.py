"""Reads memcheck's XML reports: report.py DIR

Counts every error that has a module of ours in one of its stacks, prints each kind
once with the frames, and how many others there were.  Exit status 1 if one has.
Processes are forked without exec, so most files begin in the middle; they are
read piece by piece.
"""

import collections
import html
import os
import re
import sys

MODULES = ("/graphmem.so", "/graphmem_compute.so")


def part(name, text):
    found = re.search("<%s>(.*?)</%s>" % (name, name), text, re.S)
    return html.unescape(found.group(1)).strip() if found else ""


def frames(stack):
    for frame in re.findall(r"<frame>(.*?)</frame>", stack, re.S):
        name, file, line = part("fn", frame), part("file", frame), part("line", frame)
        place = "%s:%s" % (file, line) if file else os.path.basename(part("obj", frame))
        yield part("obj", frame).endswith(MODULES), "%s (%s)" % (name or part("ip", frame), place)


def main():
    ours, theirs = collections.Counter(), collections.Counter()
    files = errors = 0
    for name in sorted(os.listdir(sys.argv[1])):
        files += 1
        with open(os.path.join(sys.argv[1], name), errors="replace") as file:
            text = file.read()
        times = {unique: int(count) for count, unique in re.findall(
            r"<pair>\s*<count>(\d+)</count>\s*<unique>(0x[0-9a-f]+)</unique>", text)}
        for error in re.findall(r"<error>(.*?)</error>", text, re.S):
            errors += 1
            words = part("what", error) or part("text", part("xwhat", error))
            stacks = [list(frames(stack)) for stack in re.findall(r"<stack>(.*?)</stack>", error, re.S)]
            kind = "\n".join([part("kind", error) + ": " + words] + ["    " + " <- ".join(
                place for _, place in stack) for stack in stacks])
            counted = ours if any(own for stack in stacks for own, _ in stack) else theirs
            counted[kind] += max(times.get(part("unique", error), 1), 1)
    for kind, n in ours.most_common():
        print("%d times %s" % (n, kind))
    print("%d processes, %d errors: %d kinds with graphmem in their stacks, %d of the server alone"
          % (files, errors, len(ours), len(theirs)))
    if files == 0:
        print("no process left a report")
    sys.exit(1 if ours or files == 0 else 0)


main()
