"""`zapisano payments …`: what the operator does with money, a module for each matter."""
