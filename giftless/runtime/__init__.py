"""Processes: the daemon, its workers, their sockets, log and supervision."""
