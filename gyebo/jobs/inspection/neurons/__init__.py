"""`gyebo inspect neurons`: which units answer to a concept as a word and in pictures alike, and what is lost without them."""
