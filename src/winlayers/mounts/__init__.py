"""Shows a tree of a layer to the operating system at a path; refuses to know where layers are kept."""
