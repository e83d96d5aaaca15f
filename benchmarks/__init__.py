"""How fast fastrnn is, next to the packages that people would otherwise use, and next to the limits of the machine."""
