"""How fast winlayers is, and how little memory it needs, beside what no importer can beat.

``python -m benchmarks`` (``make bench``) asks each question in a module of its own: whole processes are run
several times, in rounds, and what they are compared with is run in the same rounds, because a machine that
is shared or hot changes its speed by the minute, but seldom within one round. So the ratios count, and the
seconds only tell how large a thing is. The targets, how to read the tables and what was tried:
docs/explanation/performance.md.

POSIX only: the memory of a process is what ``wait4`` tells of it.
"""
