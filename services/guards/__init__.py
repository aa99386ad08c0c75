"""The guards that come with Ballast, how a file names them, and the chain that asks them."""
