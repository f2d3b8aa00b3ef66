"""Correct the labels: functions vote, a label model weighs the votes, soft labels correct the old ones."""
