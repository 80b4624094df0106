"""The same store, spoken to by engines; no state of its own.

A service takes a socket that somebody else opened, and ends when it is told to. It knows nothing of processes, signals
and configuration, and no service knows another.
"""
