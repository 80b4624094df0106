"""What happens to the store when processes are killed, disks fill up and others get in between.

Everything runs in real processes on real folders. A process is forked from one that has only loaded the
package (``forks``); the calls through which the package changes a disk are wrapped in it (``points``), so
that it can be killed, refused or held up at each of them in turn (``sweeps``). The package itself has no
hooks for this. It takes ``fork``, so these tests are for POSIX.
"""
