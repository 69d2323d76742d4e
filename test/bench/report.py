#!/usr/bin/env python3
"""What a run leaves: results.json (everything), results.md (the published
table) and results.svg (a picture of it).

    report.py README RESULTS.md     puts the table between README's two marks
"""

import datetime
import json
import os
import sys

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
COLUMNS = (
    # key, heading, colour (of bars readable on white and on black)
    ("graphmem", "graphmem", "#2f9e44"),
    ("floor", "plain C", "#8a8f98"),
    ("sql", "SQL, faster form", "#e8833a"),
    ("age", "Apache AGE", "#c2506e"),
    ("pgvector", "pgvector", "#4c86d6"),
)
INK = "#7d8590"


def in_time(us):
    for limit, unit, scale in ((1e3, "µs", 1), (1e6, "ms", 1e3), (float("inf"), "s", 1e6)):
        if us < limit:
            value = us / scale
            return ("%.0f %s" if value >= 100 else "%.1f %s" if value >= 10 else "%.2f %s") % (value, unit)
    return ""


def telling(comparisons):
    """Of each graph but the first the questions that tell most."""
    data = comparisons[0]["data"]
    return [c for c in comparisons
            if c["data"] == data or c["what"] not in ("reach, 1 hop", "reach, 2 hops")
            and not c["what"].startswith("pagerank")]


def present(comparisons):
    return [column for column in COLUMNS if any(c.get(column[0]) for c in comparisons)]


def cell(comparison, key):
    value = comparison.get(key)
    if not value:
        return ""
    text = in_time(value)
    times = comparison.get(key + "_times")
    if times:
        text += " (×%s)" % ("%.0f" % times if times >= 10 else "%.1f" % times)
    return text


def markdown(comparisons, facts):
    columns = present(comparisons)
    lines = ["| data | question | " + " | ".join(heading for _, heading, _ in columns) + " |",
             "|---|---|" + "---:|" * len(columns)]
    data = None
    for comparison in comparisons:
        shown = "" if comparison["data"] == data else comparison["data"]
        data = comparison["data"]
        lines.append("| %s | %s | %s |" % (shown, comparison["what"],
                                           " | ".join(cell(comparison, key) for key, _, _ in columns)))
    return "\n".join(lines + ["", "CPU time of the server a question; in brackets, how often it is graphmem's for the"
                              " same questions. " + facts]) + "\n"


def picture(path, comparisons, facts):
    import matplotlib
    matplotlib.use("svg")
    # text stays text, and nothing in the file depends on when it was made
    matplotlib.rcParams.update({"svg.hashsalt": "graphmem", "svg.fonttype": "none", "font.size": 9,
                                "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK,
                                "xtick.color": INK, "ytick.color": INK})
    from matplotlib import pyplot
    columns = present(comparisons)
    height = 0.8 / len(columns)
    figure, axes = pyplot.subplots(figsize=(8.5, 0.9 + len(comparisons) * (0.12 + 0.09 * len(columns))))
    for i, (key, heading, colour) in enumerate(columns):
        at = [(place + (i - (len(columns) - 1) / 2) * height, comparison[key])
              for place, comparison in enumerate(comparisons) if comparison.get(key)]
        axes.barh([y for y, _ in at], [us / 1e3 for _, us in at], height * 0.92, color=colour, label=heading)
    axes.set_yticks(range(len(comparisons)), ["%s: %s" % (c["data"], c["what"]) for c in comparisons])
    axes.set_ylim(len(comparisons) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xlabel("CPU ms a question, logarithmic\n" + facts)
    axes.xaxis.grid(True, color=INK, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncol=len(columns), frameon=False)
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def write(folder, table, machine, parameters):
    """All three files; without comparisons the figures alone."""
    os.makedirs(folder, exist_ok=True)
    date = datetime.date.today().isoformat()
    facts = dict(line.split(None, 1) for line in machine)
    title, rows = "", []
    for row in table.rows:
        if len(row) == 1:
            title = row[0]
        else:
            rows.append(dict(zip(("section", "what", "measured", "beside", "ratio", "target", "verdict"), (title,) + row)))
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as out:
        json.dump({"date": date, "machine": facts, "parameters": parameters, "comparisons": table.comparisons,
                   "figures": rows}, out, indent=1, ensure_ascii=False)
        out.write("\n")
    if not table.comparisons:
        return
    line = "%s; %s; %s" % (facts["machine"].rsplit(", ", 1)[0], facts["server"].split(",")[0], date)
    if parameters["QUICK"]:
        line += "; QUICK, which proves nothing"
    with open(os.path.join(folder, "results.md"), "w", encoding="utf-8") as out:
        out.write(markdown(telling(table.comparisons), line + "."))
    picture(os.path.join(folder, "results.svg"), telling(table.comparisons), line)


def main():
    readme, results = sys.argv[1:]
    with open(readme, encoding="utf-8") as file:
        text = file.read()
    with open(results, encoding="utf-8") as file:
        table = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit("%s does not have one of each mark: %s %s" % (readme, BEGIN, END))
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    with open(readme, "w", encoding="utf-8") as out:
        out.write(before + BEGIN + "\n" + table + END + after)


if __name__ == "__main__":
    main()
