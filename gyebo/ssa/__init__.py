"""SSA, the Sensibleness and Specificity Average: how people judge a chatbot's responses (Adiwardana et al. 2020). No torch."""
