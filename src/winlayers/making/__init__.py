"""New images of old ones: other settings, one more layer, another base, fewer layers.

What is made is a source of an image (``oci.endpoint.ImageSource``); ``transfer`` copies it to where it shall be. This
room knows no stores: layers that are looked into are handed in as views and tables. It has no clock, and writes to
nothing but files without names in a folder that it is told.
"""
