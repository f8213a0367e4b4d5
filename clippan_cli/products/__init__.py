"""Products as providers deliver them: which of their files are MS and PAN, and what they say of these."""
