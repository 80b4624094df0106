"""The graph driver "windowsfilter": ids, chains, states, counts.

This room refuses to know how a backend keeps a layer.
"""
