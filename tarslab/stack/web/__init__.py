"""What every service of the stack shares: requests let in, errors, metrics, pages."""
