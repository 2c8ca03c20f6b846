"""Answers that were made elsewhere: the queries that others are asked, and what they hand in."""
