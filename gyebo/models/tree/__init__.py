"""The rows of the family tree, a file for each branch; `gyebo/models/family.py` joins them."""
