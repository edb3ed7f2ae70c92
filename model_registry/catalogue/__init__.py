"""Names, versions, stages and who decided them, in SQL.

One append-only chain of events says all that ever happened; the tables beside it are what the
events add up to, so that an edited row shows by itself.
"""
