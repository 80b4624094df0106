"""What Python lacks: file objects, digests, compression, atomic files, locks.

This room would be at home in any project. It refuses to know anything of tars, layers or Windows.
"""
