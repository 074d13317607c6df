# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of a benchmark's table: made, judged, shown, and kept as JSON.

A goal is a sign and its numbers: ('>=', 0.97), ('<=', 5), ('in', 8.7, 9.3)."""
import json

HOLDS = {None: '-', True: 'yes', False: 'NO'}


def reaches(value, goal):
    """None where there is nothing to compare."""
    if goal is None or value is None:
        return None
    sign, *bounds = goal
    return {'>=': lambda: value >= bounds[0], '<=': lambda: value <= bounds[0],
            'in': lambda: bounds[0] <= value <= bounds[1]}[sign]()


def row(name, unit, ours, goal=None, rival=None, floor=None):
    return {'name': name, 'unit': unit, 'ours': ours, 'rival': rival, 'floor': floor, 'goal': goal,
            'holds': reaches(ours, goal)}


def number(value):
    return '-' if value is None else f'{value:.3f}' if abs(value) < 10 else f'{value:.1f}'


def goal_text(goal):
    return '-' if goal is None else f"{goal[0]} {'..'.join(f'{bound:g}' for bound in goal[1:])}"


def show(rows):
    wide = max(34, *(len(r['name']) for r in rows)) if rows else 34
    print(f"{'figure':{wide}} {'unit':8} {'ours':>10} {'rival':>10} {'floor':>10} {'goal':>12}  holds")
    for r in rows:
        print(f"{r['name']:{wide}} {r['unit']:8} {number(r['ours']):>10} {number(r['rival']):>10} {number(r['floor']):>10}"
              f" {goal_text(r['goal']):>12}  {HOLDS[r['holds']]}")


def status(rows, keep_going, problems=()):
    """What a benchmark ends with: 2 where a figure could not be measured, 1 where a goal is missed."""
    for problem in problems:
        print(f'problem: {problem}')
    if keep_going:
        return 0
    if problems or any(r['ours'] is None for r in rows):
        return 2
    return 1 if any(r['holds'] is False for r in rows) else 0


def write(path, rows, **more):
    """'goal' is the number, or the two of a range."""
    figures = [dict(r, goal=r['goal'] and (r['goal'][1] if len(r['goal']) == 2 else list(r['goal'][1:]))) for r in rows]
    with open(path, 'w') as f:
        json.dump({'figures': figures, **more}, f, indent=1)
        f.write('\n')
