"""Everything this Telegram remembers, in one SQLite file; the only home of its SQL.

The functions are synchronous and run on the event loop on purpose: each takes microseconds, and
one thread gives the whole world one order of events. WAL with `synchronous=NORMAL` survives the
death of the process at any point.
"""
