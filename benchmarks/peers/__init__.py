"""The same job with other task queues, each in the straightforward way of its documentation.

These modules run in an environment of their own (requirements/bench.txt), never in Clarion's.
"""
