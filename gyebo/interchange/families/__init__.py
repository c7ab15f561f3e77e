"""The table of names of each family, in a file called like the family or its parent."""
