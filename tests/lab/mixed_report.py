# SPDX-License-Identifier: GPL-2.0-or-later
"""What came of a run: the table, JSON, and pictures of throughput over time with the switches marked."""
import html
import json
import os

COLUMNS = ("", "path", "", "longest gap", "MB a leg", "retrans.", "resets", "INVALID", "mismatch", "time")
COLOURS = {"linux": "#3366aa", "guest": "#ee9933"}
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 460, 170, 44, 34, 24


def row(f, label):
    names = {"linux": "Linux", "guest": label}
    show = lambda v: "-" if v is None else str(v)
    legs = "/".join(f"{leg['MB']:.0f}" for leg in f["legs"] if leg["MB"] >= 1)
    return (f["cell"].partition(":")[0], " > ".join(names[n] for n in f["path"]), f["verdict"],
            f"{f['gap ms']} ms" if f["gap ms"] else "-", legs or "-", show(f["retransmissions"]), show(f["resets"]),
            show(f["invalid"]), show(f["mismatches"]), f"{f['seconds']:.1f} s")


def table(figures, label):
    rows = [COLUMNS] + [row(f, label) for f in figures]
    widths = [max(len(r[i]) for r in rows) for i in range(len(COLUMNS))]
    lines = ["  ".join(v.ljust(w) if i < 3 else v.rjust(w) for i, (v, w) in enumerate(zip(r, widths))).rstrip()
             for r in rows]
    return "\n".join("  " + line for line in lines)


def details(figures):
    """One line for each cell that has something to say."""
    return "\n".join(f"  {f['cell']}: {'; '.join(([f['why']] if f['why'] else []) + f['notes'])}"
                     for f in figures if f["why"] or f["notes"])


def rates(samples):
    """(time, MB/s) between two samples."""
    return [(t1, (b1 - b0) / 1e6 / max(t1 - t0, 1e-3)) for (t0, b0), (t1, b1) in zip(samples, samples[1:])]


def panel(f, label, x=0, y=0):
    """One cell as SVG: what arrived, coloured by the node that it came through."""
    points = rates(f["samples"])
    most, end = max((r for _, r in points), default=1) * 1.15 or 1, max((t for t, _ in points), default=1)
    px = lambda t: LEFT + (WIDTH - LEFT - 10) * t / end
    py = lambda r: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * r / most
    names = {"linux": "Linux", "guest": label}
    title = (f"{f['cell'].partition(':')[0]}: {' → '.join(names[n] for n in f['path'])}, {f['verdict']}, "
             f"longest gap {f['gap ms']} ms")
    out = [f'<g transform="translate({x},{y})"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="8" y="15" font-weight="bold">{html.escape(title)}</text>']
    for part in (0, 0.5, 1):
        r = most * part / 1.15
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{py(r):.1f}" y2="{py(r):.1f}" stroke="#dddddd"/>'
                   f'<text x="{LEFT - 4}" y="{py(r) + 3:.1f}" text-anchor="end">{r:.3g}</text>')
    turns = [(0.0, f["path"][0] if f["path"] else "linux"), *f["marks"]]
    for (t0, _), (t1, r) in zip([(f["samples"][0][0], 0), *points] if points else [], points):
        node = [n for t, n in turns if t <= (t0 + t1) / 2 or t == 0][-1]
        out.append(f'<rect x="{px(t0):.1f}" y="{py(r):.1f}" width="{max(px(t1) - px(t0), 0.5):.1f}" '
                   f'height="{max(HEIGHT - BOTTOM - py(r), 0):.1f}" fill="{COLOURS[node]}"/>')
    for t, node in f["marks"]:
        out.append(f'<line x1="{px(t):.1f}" x2="{px(t):.1f}" y1="{TOP - 12}" y2="{HEIGHT - BOTTOM}" stroke="#cc3333" '
                   f'stroke-dasharray="4 3"/><text x="{px(t) + 3:.1f}" y="{TOP - 5}" fill="#cc3333">'
                   f'to {names[node]}</text>')
    out.append(f'<text x="{WIDTH - 10}" y="{HEIGHT - 8}" text-anchor="end">{end:.1f} s</text>'
               f'<text x="8" y="{HEIGHT - 8}">MB/s</text></g>')
    return "\n".join(out)


def picture(figures, label):
    """All cells with traffic over time in one SVG, two in a row."""
    shown = [f for f in figures if len(f["samples"]) > 1]
    height = HEIGHT * ((len(shown) + 1) // 2)
    body = "\n".join(panel(f, label, (i % 2) * WIDTH, (i // 2) * HEIGHT) for i, f in enumerate(shown))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}" height="{height}" font-family="sans-serif" '
            f'font-size="10">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n')


def write(folder, figures, label, facts):
    with open(os.path.join(folder, "result.json"), "w", encoding="utf-8") as f:
        json.dump({**facts, "cells": figures}, f, indent=1)
    with open(os.path.join(folder, "table.txt"), "w", encoding="utf-8") as f:
        f.write(table(figures, label) + "\n\n" + details(figures) + "\n")
    with open(os.path.join(folder, "throughput.svg"), "w", encoding="utf-8") as f:
        f.write(picture(figures, label))
