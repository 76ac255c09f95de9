"""What regrow promises, and what was last seen of it: `python -m reliability` measures it and writes the page."""
