"""The driver as a graph driver plugin of Docker: ``graphdriver`` knows the calls, ``server`` the sockets."""
