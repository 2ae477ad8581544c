"""Side-by-side measurements against peers, runnable by anyone: `make bench`.

Belongs here: contenders that do the same work in different ways, measuring them in turns, and keeping the ratios.
Does not belong here: claims about correctness (`reco_pipeline_tests`) or anything the product imports.
"""
