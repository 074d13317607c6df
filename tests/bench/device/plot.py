# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of the device path over load, drawn by gnuplot."""
import os
import subprocess
import tempfile

BATCHES = [1, 2, 4, 8, 16, 32, 40]
SHOWN = [('ours', 'vgpu-pci', '#1b6ca8'), ('rival', 'virtio-gpu-gl-pci', '#c0504d')]
FIGURES = [('empty', 'empty_submits', 'empty submits per second'),
           ('fenced', 'fenced_submits', 'empty submits per second, each with a fence')]


def series(machine, part, name):
    """For each device its (batch, value)s."""
    found = {}
    for side, _, _ in SHOWN:
        found[side] = []
        for batch in BATCHES:
            value = machine.side(side, [part], (f'--batch={batch}',)).get(name)
            if value:
                found[side].append((batch, value))
    return found


def batches(machine, path):
    """Submits per second over how many are given to the device at once."""
    terminal = 'pngcairo' if path.endswith('.png') else 'svg'
    with tempfile.TemporaryDirectory() as work:
        script = [f"set terminal {terminal} size 720,640 font 'sans,12' background '#ffffff'", f"set output '{work}/out'",
                  'set multiplot layout 2,1', 'set key top left', "set xlabel 'submits in a batch (two batches in flight)'",
                  'set logscale x 2', 'set yrange [0:*]', 'set grid']
        for number, (part, name, title) in enumerate(FIGURES):
            curves = []
            data = series(machine, part, name)
            for side, label, colour in SHOWN:
                file = f'{work}/{number}-{side}'
                with open(file, 'w') as f:
                    f.writelines(f'{batch} {value}\n' for batch, value in data[side])
                curves.append(f"'{file}' with linespoints lw 2 pt 7 lc rgb '{colour}' title '{label}'")
            script += [f"set title '{title}'", 'plot ' + ', '.join(curves)]
        subprocess.run(['gnuplot'], input='\n'.join(script), text=True, check=True)
        with open(f'{work}/out', 'rb') as f, open(path, 'wb') as out:
            out.write(f.read())
    print(f'plot: {os.path.abspath(path)}')
