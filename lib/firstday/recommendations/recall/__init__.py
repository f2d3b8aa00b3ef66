"""Recall: a few dozen candidates for each customer, from three sources, with a score and a reason each.

relevance    what goes with what the customer has met: implicit ALS, and co-occurrence
novelty      for customers with no interests yet: what customers of their profile took up
serendipity  Thompson sampling over click rates by segment and category; also the exploring slot's propensity
merge        the three in one list of few, by maximal marginal relevance with quotas

Each source gives one row a customer with an array in the order of the `Catalog`: for 1 M customers and 40
categories that is 1 M rows to join, not 40 M. Facts are rows of user_id, category, kind ('shown', 'click',
'join', 'dismiss', 'transaction', 'since', 'until', 'preference'), at and value; those at or after `until`,
the instant that is asked about, are never read. Sums over rows are of whole numbers and ties are broken by
hashes, so that neither the order of the rows nor their partitions change a result.
"""
