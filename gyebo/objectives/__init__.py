"""What is learned: corruption, counts and loss of each objective."""
