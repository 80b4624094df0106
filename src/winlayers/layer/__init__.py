"""What a Windows layer is: names, entries, chains, views, and the forms in which entries are written.

Pure rules over entries. This room refuses to know where layers are kept.
"""
