"""Prepaid credits: wallets, postings, holds, and whose session it is."""
