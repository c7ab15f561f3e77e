"""`python -m gyebo`, which `torchrun -m gyebo` needs."""

from gyebo.cli import main

main()
