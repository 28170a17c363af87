"""A TCP proxy of user space, with the toxics and the HTTP API of Toxiproxy 2.

It is a process of its own (``python -m tarslab.chaos.proxy``), which serves loopback alone.
"""
