"""The verbs in Python, one file each: `gyebo.pretrain("bert", "my-text.txt", size="mini", minutes=10, out="runs/x")`.

A verb has the name of its command and the command's options as parameters; the command line parses, calls it and prints. What
it gives is a dataclass that shows itself, in a terminal and in a notebook.
"""
