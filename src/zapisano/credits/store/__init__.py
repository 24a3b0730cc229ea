"""The credits' SQL, a module for each kind of thing it speaks of."""
