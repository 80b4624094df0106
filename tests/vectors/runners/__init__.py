"""One module for each vector file; ``run(case)`` asserts what one case says."""
