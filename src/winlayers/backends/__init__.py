"""Where layers live: one narrow contract, and one folder for each place.

This room refuses to know drivers, images and command lines; no backend knows another.
"""
