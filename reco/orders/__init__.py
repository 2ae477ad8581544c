"""From the bytes of a CSV drop to accepted order lines and quarantine: the row ledger.

Belongs here: everything that decides what becomes of a line. Does not belong here: what the lines mean together, which
is the model, and who asks. The doors are `reco.orders.profiles`, `reco.orders.reader` and `reco.orders.ledger`.
"""
