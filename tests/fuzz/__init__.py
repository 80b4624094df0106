"""Decoders fed with broken input: ``python -m tests.fuzz [TARGET…] [--seconds N] [--seed S]``.

A *target* (``targets``) is a function of some bytes that has to end without an exception, but for those of
``winlayers.errors``, in time. ``campaign`` changes sound inputs, its *seeds*, at random (``mutation``), makes
checksums right again where nothing would be reached otherwise (``repair``), and goes on from inputs that
reached lines which no other did (``reach``). What it finds is written to ``found`` and stays there as a test.
"""
