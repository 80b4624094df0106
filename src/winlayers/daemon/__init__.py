"""The process that serves engines: settings, sockets, signals, logs, metrics, and an orderly end.

It knows no protocol: ``services`` do. It reads files and the environment only where it is told to.
"""
