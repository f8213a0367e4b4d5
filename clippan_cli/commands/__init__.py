"""One verb each: parse the arguments, call one task, show its result."""
