"""The guides' own doors to the product's code."""
