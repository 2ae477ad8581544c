"""The matrix beside its peers: from coded orders to the best hundred neighbours of each item, at several sizes.

Belongs here: shapes, peers' environments, costs, exactness and quality of that one stage. Does not belong here: reading
files (`benchmarks.parts`), or settings of peers that no documentation shows.
"""
