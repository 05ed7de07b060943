# Two doors for a visitor; everything else is `./dev help`.
.PHONY: help demo test

help:
	@./dev help

demo:
	@./dev demo

test:
	@./dev test
