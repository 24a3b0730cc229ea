"""`zapisano credits …`: what the operator does with prepaid credits, a module for each matter."""
